//! Every code there is, in one closed table.
//!
//! Each is something that the program tells of today. The first two digits are the group: 10
//! requests, 11 registration and discovery, 12 access, 13 storage, 14 telemetry, 20 calls through a
//! proxy, 30 start-up, 31 configuration and command line, 32 what a client finds. A number is never
//! given to something else, not even after its code is gone.
//!
//! A cause is one or more sentences; a remedy is what to do, in words that can follow a semicolon; an
//! example leads to the code or shows it.

use super::{Entry, Exit, Exit::*};

macro_rules! table {
    ($($name:ident = $number:literal, $status:literal, $exit:ident, $title:literal,
        $cause:literal, $remedy:literal, $example:literal;)*) => {
        /// The code of a problem, written `BW-1003`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Code {
            $(#[doc = $title] $name = $number,)*
        }

        impl Code {
            /// All codes, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What the table says about this code.
            pub const fn entry(self) -> &'static Entry {
                match self {
                    $(Self::$name => {
                        const EXIT: Exit = $exit;
                        &Entry {
                            status: $status, exit: EXIT, title: $title, cause: $cause, remedy: $remedy, example: $example,
                        }
                    })*
                }
            }
        }
    };
}

table! {
    // 10: requests
    MalformedRequest = 1001, 400, Usage, "The request is not valid HTTP",
        "The request line, a header or the framing of the body breaks the rules of HTTP, so nothing after it can be trusted and the connection is closed.",
        "send the request with an HTTP client instead of by hand, and look at what stands between it and the server",
        "GET /bellwether/v1/namespaces HTTP/9.9";
    MalformedBody = 1002, 400, Usage, "The body cannot be read",
        "The body is not the JSON, YAML or protobuf that its content type promises, or it ends too early.",
        "check the body at the place that the detail names",
        "curl -X PUT -H 'content-type: application/json' -d '{\"port\":' …/instances/cart-1";
    InvalidValue = 1003, 400, Usage, "A value breaks its rule",
        "A parameter, a header or a member of the body is there, but its value is not one that it may have.",
        "correct the value; the detail states the rule",
        "GET /bellwether/v1/traces?limit=many";
    UnknownField = 1004, 400, Usage, "Unknown field",
        "The request has a parameter or a member that does not exist. It is refused rather than ignored, since a mistyped setting that does nothing is worse.",
        "correct the name or leave it out",
        "GET /bellwether/v1/traces?servce=cart";
    MissingField = 1005, 400, Usage, "Something is missing",
        "A parameter, a header or a member of the body is needed and is not there.",
        "add what the detail names",
        "GET /bellwether/v1/namespaces/default/services/cart/owner, without key=";
    NoSuchPath = 1008, 404, NotFound, "No such path",
        "Nothing is served under this path.",
        "look the path up in /bellwether/v1/openapi.json",
        "GET /bellwether/v1/servces";
    MethodNotAllowed = 1009, 405, Usage, "Method not allowed",
        "The path exists, but not for this method; the Allow header lists those it has.",
        "use a method that the path has",
        "DELETE /bellwether/v1/openapi.json";
    HeadersTooLarge = 1010, 431, Usage, "Headers too large",
        "The request's headers are more, or longer, than the listener accepts. Memory for them is taken before anyone has proved who they are, so the limit is low.",
        "send fewer or shorter headers; cookies and tokens are the usual cause",
        "a Cookie header of 1 MB";
    UriTooLong = 1011, 414, Usage, "Path and query too long",
        "The path with its query is longer than the listener accepts.",
        "shorten the query, or use the form of the request that carries it in the body",
        "GET /api/v1/query?query= followed by 100 kB";
    BodyTooLarge = 1012, 413, Usage, "Body too large",
        "The body is larger than this path accepts, before or after decompression.",
        "send it in smaller parts",
        "PUT …/policies/cart with a body of 10 MB";
    RequestTimeout = 1013, 408, Failed, "The request came too slowly",
        "The head or the body of the request did not arrive within the time that the listener waits for it.",
        "send the request again; if it happens often, look at the network in between",
        "a connection that sends one byte a second";
    TooManyConnections = 1014, 503, Failed, "Too many connections",
        "The listener has as many connections as it accepts and closes each further one at once.",
        "use connections again instead of opening new ones, or raise the limit",
        "more simultaneous connections than max_connections";
    TooManyRequests = 1015, 429, Failed, "Too many requests",
        "More was asked at the same time, or within a short time, than this path accepts.",
        "wait as long as Retry-After says and try again",
        "a client that polls in a tight loop";
    HostNotAllowed = 1016, 421, Denied, "Host not allowed",
        "The Host header names neither this machine's loopback nor a name that the listener was told. A web page could otherwise reach the control plane through a name of its own that resolves to loopback (DNS rebinding).",
        "use the address that the server printed at its start, or add the name to the allowed hosts",
        "curl -H 'host: example.com' http://127.0.0.1:2355/bellwether/v1/namespaces";
    CrossOrigin = 1017, 403, Denied, "Cross-origin change refused",
        "A browser sent a request that changes something on behalf of a page that was not served by this listener.",
        "use the console of this server, or a client that is not a browser",
        "fetch('http://127.0.0.1:2355/…', {method: 'DELETE'}) on another site";
    Internal = 1018, 500, Failed, "Internal error",
        "Bellwether failed in a way that it should not. Only this request is affected; the log holds the cause.",
        "look for the time of the request in the log and report what it says",
        "a bug in Bellwether";
    ShuttingDown = 1019, 503, Unreachable, "The server is stopping",
        "The server finishes what has begun and takes nothing new.",
        "try again once it has been started again",
        "a request after SIGTERM";
    NotReady = 1020, 503, Unreachable, "The server is not ready",
        "The server has started but has not yet read back what it holds on disk.",
        "wait until /readyz answers 200",
        "a request within the first moments after a start";
    InvalidPageToken = 1021, 400, Usage, "Page token not valid",
        "The page token was not made by this server, or for another query.",
        "begin again without a page token",
        "GET /bellwether/v1/traces?page_token=2";
    NotOffered = 1024, 501, Failed, "Not offered",
        "The operation belongs to the protocol, but Bellwether does not offer it.",
        "use the native API, described in /bellwether/v1/openapi.json",
        "an operation of a foreign dialect without a meaning here";

    // 11: registration, discovery, policies
    NoSuchService = 1101, 404, NotFound, "No such service",
        "No instance of this service has ever been registered in this namespace, or all have been forgotten.",
        "check name and namespace with `bellwether service list`",
        "GET /bellwether/v1/namespaces/default/services/paymnts";
    NoSuchInstance = 1102, 404, NotFound, "No such instance",
        "The service has no instance with this id: it was never registered, was deregistered, or was forgotten long after its lease had lapsed.",
        "register it anew with PUT; a client does so by itself when a heartbeat gets this answer",
        "POST …/instances/cart-9/heartbeat";
    StaleLease = 1103, 409, Failed, "The lease is not the current one",
        "Another process has registered the instance since this lease was given. The older process must not touch its successor.",
        "stop the older process, or give each process an instance id of its own",
        "DELETE …/instances/cart-1 with the lease of an earlier registration";
    LeaseMissing = 1104, 403, Denied, "A lease is needed",
        "A heartbeat and a deregistration carry the lease id of the registration. Without one, the scope admin is needed.",
        "send the lease id in If-Match or in the body",
        "DELETE …/instances/cart-1 without If-Match";
    AddressForbidden = 1105, 403, Denied, "Address not allowed",
        "The address is one that is never called: link-local, a cloud's metadata service, or outside of the allowed networks.",
        "register the address under which others call the service; if it is outside of the allowed networks, add its own to dial_networks",
        "PUT …/instances/cart-1 with address 169.254.169.254";
    TooManyInstances = 1106, 429, Failed, "Too many instances",
        "The service, the namespace or the server has as many instances as it may have.",
        "deregister those that are gone, or raise the limit",
        "a deployment that registers each process under a random id and deregisters none";
    LastInstance = 1107, 409, Failed, "The last instance",
        "No other instance of the service takes calls; once this one is drained, or has a weight of 0, every call is refused.",
        "start another instance first, or say it with force",
        "POST …/instances/cart-1/drain while every other instance of cart is down";
    ServiceInUse = 1108, 409, Failed, "The service takes calls",
        "Instances of the service are up. Once they are deleted, every call to it is refused.",
        "drain them first, or delete the service with force",
        "DELETE …/services/cart while cart-1 is up";
    NoOwner = 1109, 503, Failed, "No instance can own the key",
        "The service is known, but none of its instances may take calls now.",
        "see why with `bellwether service show`",
        "GET …/services/cart/owner?key=42 while all instances are down";
    InstanceChanged = 1110, 412, Failed, "The instance has changed",
        "The request is for an instance as somebody saw it, by the revision in If-Match, and something else has happened to it since.",
        "look at the instance again, and ask with its new revision if that is still what you want",
        "PUT …/instances/cart-1/override with If-Match: \"7\" while its revision is 9";
    NoSuchPolicy = 1111, 404, NotFound, "No such policy",
        "The namespace has no policy of this name, or it was deleted; what was deleted can be rolled back as long as its history is kept.",
        "look it up with `bellwether policy list`",
        "GET /bellwether/v1/namespaces/default/policies/crat";
    NoSuchPolicyRevision = 1112, 404, NotFound, "No such revision of the policy",
        "The policy never had this revision, or it is too old to be kept, or nothing was said at it because the policy was deleted then.",
        "look at the revisions with `bellwether policy history NAME`",
        "bellwether policy rollback cart --to 3";
    PolicyTaken = 1113, 409, Failed, "Another policy is for the same",
        "A service has one policy and a namespace one set of defaults, so that nobody has to guess which of two holds.",
        "change the policy that is there, or delete it first",
        "a second ServicePolicy with service: cart";
    PolicyChanged = 1114, 412, Failed, "The policy has changed meanwhile",
        "If-Match names another revision than the one that the policy has now, so somebody has written it since it was read.",
        "read the policy again, and apply the change to what it says now",
        "curl -X PUT -H 'If-Match: \"41\"' …/policies/cart, while it is at 42";
    TooManyPolicies = 1115, 429, Failed, "Too many policies",
        "There are as many policies as there may be, or their documents take as much room as they may.",
        "delete policies that are not needed",
        "a policy for each of 10,001 services";
    NoSuchProxy = 1121, 404, NotFound, "No such proxy",
        "No proxy with this id is known: it never came, it has said goodbye, or it was forgotten.",
        "list the known ones with `bellwether proxy list`",
        "DELETE /bellwether/v1/proxies/gateway@gone:8000";
    ProxyConnected = 1122, 409, Failed, "The proxy is connected",
        "Who forgets a proxy says that it sends no calls any more. This one follows the registry right now, so it may.",
        "stop the proxy; it then leaves by itself",
        "bellwether proxy forget gateway@host:8000 while it runs";
    NotSafe = 1123, 409, Failed, "Not safe to kill yet",
        "The instance drains, and somebody who may send calls to it has not proved that none is there any more.",
        "wait longer with --timeout, look who stands in the way, or forget a proxy that is gone with `bellwether proxy forget`",
        "bellwether instance drain cart cart-1 while a gateway is cut off";

    // 12: access
    TokenMissing = 1201, 401, Denied, "A token is needed",
        "This listener serves only those who present a bearer token, and the request has none.",
        "send `authorization: Bearer …`, or set BELLWETHER_TOKEN for the command line",
        "curl https://bellwether.internal:2355/bellwether/v1/namespaces";
    TokenInvalid = 1202, 401, Denied, "The token is not valid",
        "The Authorization header holds no token that this server has made, or one that was revoked.",
        "check the token, or have one made with `bellwether token create`",
        "curl -H 'authorization: Bearer secret' …";
    TokenExpired = 1203, 401, Denied, "The token has expired",
        "The token was made for a limited time, which is over.",
        "have a new one made with `bellwether token create`",
        "a token made with --ttl 24h, two days later";
    ScopeMissing = 1204, 403, Denied, "The token lacks a scope",
        "The token is good, but not for this: reading needs the scope read, changing write, administration admin. write includes read, admin includes both.",
        "use a token with the scope that the detail names",
        "PUT …/policies/cart with a token that may only read";
    NamespaceDenied = 1205, 403, Denied, "The token is bound to other namespaces",
        "The token is good, but not for this namespace, or for all of them at once.",
        "use a token for the namespace that the detail names",
        "GET /bellwether/v1/namespaces/prod/services with a token for staging";
    NoSuchToken = 1206, 404, NotFound, "No such token",
        "There is no token with this id.",
        "check the id with `bellwether token list`",
        "bellwether token revoke 0badc0de";
    TooManyTokens = 1207, 429, Failed, "Too many tokens",
        "The server keeps a limited number of tokens, so that checking one stays cheap.",
        "revoke tokens that are not used any more",
        "a job that creates a token per run and revokes none";

    // 13: storage
    DiskFull = 1301, 507, Failed, "The disk is full",
        "There is no room to write, or only the reserve that is kept for the catalog. Nothing was stored. Reads and discovery go on, and writing resumes by itself once there is room.",
        "make room on the disk that holds the data folder, or lower the retention",
        "a data folder on a disk without space";
    DiskFailed = 1302, 503, Failed, "The disk failed",
        "The operating system reported an error when reading from or writing to the data folder. What was not acknowledged may be lost; what was is not touched.",
        "look at the system's log for errors of the disk",
        "EIO on fsync";
    RecordTooLarge = 1303, 413, Usage, "Too large to store",
        "What should be stored as one record is larger than a record may be.",
        "split it into smaller parts",
        "a batch of spans with attributes of many megabytes";
    StorageBusy = 1304, 503, Failed, "Storage is busy",
        "More waits to be written than the queue holds; the disk is slower than what comes in. Nothing of this request was stored.",
        "try again after a moment, as Retry-After says",
        "a flood of writes on a slow disk";
    DataDamaged = 1305, 500, Failed, "Stored data is damaged",
        "What was read back does not match its checksum. It is reported and left as it is; wrong data is never returned.",
        "look at the log for the file, and restore it from a backup",
        "a flipped bit on disk";
    BackupDamaged = 1306, 400, Failed, "The backup cannot be used",
        "The file is no backup, was cut, or was changed since it was written; its last line is a checksum of all the others. Nothing was restored.",
        "use another copy of the file, or an older backup",
        "head -c 1000 backup | curl --data-binary @- …/bellwether/v1/restore";

    // 14: telemetry
    TelemetryMalformed = 1401, 400, Usage, "The telemetry cannot be read",
        "The body is not what the path takes, such as OTLP as protobuf or JSON. Nothing of it was stored.",
        "check exporter and path; the detail names the place",
        "POST /v1/traces with a Zipkin body";
    TelemetryTooLarge = 1402, 413, Usage, "The batch is too large",
        "The batch is larger than the intake accepts, after decompression. Nothing of it was stored.",
        "make the exporter send smaller batches",
        "an OTLP batch of 100 MB";
    TelemetryBusy = 1403, 429, Failed, "The intake is at its limit",
        "The intake has used up its budget of memory or its queue. It gives way so that discovery and calls keep their speed.",
        "let the exporter try again after Retry-After; sample more if it goes on",
        "ten times the usual number of spans";
    NoSuchTrace = 1404, 404, NotFound, "No such trace",
        "No span of this trace is stored: it was not sampled, has expired, or has not arrived yet.",
        "check the id, or search with `bellwether trace search`",
        "GET /bellwether/v1/traces/0af7651916cd43dd8448eb211c80319c";
    TelemetryUnsupported = 1405, 415, Usage, "The telemetry is of another kind",
        "The content type or the compression is not one that the path takes. Nothing of the body was stored.",
        "send OTLP as application/x-protobuf or application/json, Zipkin's spans as application/json; plain, or compressed with gzip or zstd",
        "POST /v1/traces with content-type text/plain";

    // 20: calls through a proxy
    NoRoute = 2001, 404, NotFound, "No route for this host",
        "The Host header names neither a known service nor a route of this listener.",
        "check the name with `bellwether service list`; the form is {service} or {service}.{namespace}",
        "curl -H 'host: paymnts' http://127.0.0.1:8000/";
    NoEndpoint = 2002, 503, Unreachable, "No endpoint can take the call",
        "The service is known, but each of its instances is down, draining, in maintenance, still starting, or ejected.",
        "see why with `bellwether service show`",
        "curl -H 'host: payments' http://127.0.0.1:8000/ while all instances are down";
    BreakerOpen = 2003, 503, Failed, "The circuit breaker is open",
        "Calls to this service have failed, or have been slow, beyond its policy, so that further ones are refused at once instead of adding to the load. The breaker lets probes pass after open_for. It may also have been opened by hand.",
        "see what tripped it with `bellwether breaker list` and the events of kind breaker",
        "a call to a service that answered 500 five times in a row";
    CallTimeout = 2004, 504, Failed, "The call took too long",
        "No response began within the call's time-out, over all attempts.",
        "see where the time went with `bellwether trace show`; the limit is timeouts.call of the policy",
        "a call to a service that hangs";
    AttemptTimeout = 2005, 504, Failed, "The attempt took too long",
        "The endpoint did not begin to respond within timeouts.attempt, and there was no retry left.",
        "see where the time went with `bellwether trace show`",
        "a call to an instance that hangs";
    ConnectFailed = 2006, 502, Unreachable, "No connection to the endpoint",
        "The instance's address refused the connection or could not be reached, and no retry was left.",
        "check that the instance listens on the address it registered",
        "an instance that died a moment ago";
    ConnectTimeout = 2007, 504, Unreachable, "Connecting took too long",
        "The instance's address did not answer within timeouts.connect; a firewall that drops packets looks like this.",
        "check the path between proxy and instance",
        "an instance behind a firewall";
    UpstreamReset = 2008, 502, Failed, "The endpoint broke off",
        "The instance closed the connection before its response was complete.",
        "look at the instance's log at this time",
        "an instance that crashes on a request";
    UpstreamMalformed = 2009, 502, Failed, "The endpoint's response is not valid",
        "The instance answered with something that is not HTTP, or with headers beyond the limits.",
        "check the port and protocol that the instance registered",
        "an instance that registered its database port";
    ConcurrencyLimited = 2010, 429, Failed, "Too many calls at the same time",
        "As many calls to this service are in flight as its policy or the proxy allows.",
        "wait as long as Retry-After says; add instances if it goes on",
        "a burst of calls to a slow service";
    RateLimited = 2011, 429, Failed, "Too many calls in this time",
        "More calls come than a rate limit of the service's policy lets pass. The limit may be one for all calls, or one for each caller, user or address.",
        "wait as long as Retry-After says; the limit is rate_limits of the policy",
        "200 calls in a second to a service that takes 100";
    EndpointForbidden = 2012, 502, Denied, "The endpoint's address is not allowed",
        "The instance's address, or the one that its name resolved to, is never called: link-local, a cloud's metadata service, or outside of the proxy's allowed networks.",
        "check what the name resolves to and who registered it; if it is meant to be called, add its network to the proxy's dial_networks",
        "an instance whose DNS name points to 169.254.169.254";
    HostMissing = 2013, 400, Usage, "The call names no service",
        "A call through the proxy names its service in the Host header, and this one has none that can be read.",
        "send `host: {service}` or `host: {service}.{namespace}`",
        "curl --http1.0 -H 'host:' http://127.0.0.1:8000/";
    LoopDetected = 2015, 508, Failed, "The call goes in a circle",
        "The call has passed through this or other proxies more often than any sensible chain would.",
        "check that no instance registered the address of a proxy",
        "an instance registered with the gateway's own port";
    NoSnapshot = 2018, 503, Unreachable, "The proxy knows no services yet",
        "The proxy has never reached the control plane and has no snapshot from an earlier run.",
        "check the address given by --control and that the control plane is ready",
        "bellwether gateway --control http://127.0.0.1:1";

    // 30: start-up
    AddressInUse = 3001, 503, Failed, "The address is taken",
        "Another process listens on the address that should be served, often an earlier Bellwether.",
        "stop the other process, or choose another port; port 0 takes any free one",
        "bellwether up, twice";
    AddressUnavailable = 3002, 503, Failed, "The address cannot be served",
        "The machine does not have this address, or ports below 1024 are not allowed to this user.",
        "choose an address of this machine, such as 127.0.0.1, and a port above 1023",
        "bellwether up --listen 192.0.2.1:2355";
    DataFolderLocked = 3003, 503, Failed, "The data folder is in use",
        "Another Bellwether holds the lock of the data folder. Two writers would destroy it.",
        "stop the other one, or choose another folder with --data",
        "bellwether up --data ./data, twice";
    DataFolderReadOnly = 3004, 503, Failed, "The data folder cannot be written",
        "The folder, or the disk it is on, does not allow this user to write.",
        "correct owner and mode, or choose another folder with --data",
        "bellwether up --data / as an ordinary user";
    DataFolderNewer = 3005, 503, Failed, "The data folder is of a newer version",
        "A newer Bellwether has written the folder, in a format that this one does not know. It is left as it is.",
        "run the newer version, or restore a backup made with this one",
        "an upgrade that was rolled back";
    DataFolderDamaged = 3006, 503, Failed, "The data folder is damaged",
        "Something within the folder does not match its checksum, in a place that a crash cannot explain. It is left as it is.",
        "restore a backup, or move the file that is named out of the way and accept its loss",
        "a disk that returns wrong bytes";
    DataFolderUnusable = 3007, 503, Failed, "The data folder cannot be used",
        "The path is not a folder, cannot be created, or holds files of something else.",
        "choose an empty or new folder with --data",
        "bellwether up --data /etc/passwd";
    Exposed = 3008, 403, Usage, "Other machines could reach it unprotected",
        "On another address than loopback the control plane is served only with TLS and with tokens, since whoever reaches it can reroute every call.",
        "give --tls-cert, --tls-key and --auth, or say --insecure if the network is protected otherwise",
        "bellwether server --listen 0.0.0.0:2355";
    CertificateUnreadable = 3009, 503, Usage, "The certificate cannot be read",
        "The file with the certificates or the key is not there, is not readable to this user, or is not PEM.",
        "check path, owner and content; it begins with -----BEGIN",
        "bellwether server --tls-cert missing.pem --tls-key key.pem";
    CertificateUnusable = 3010, 503, Usage, "The certificate cannot be used",
        "The files can be read, but the key does not belong to the certificate or is of a kind that is not supported.",
        "check that both files are from the same order",
        "bellwether server --tls-cert a.pem --tls-key b.pem";

    // 31: configuration and command line
    UnknownKey = 3101, 400, Usage, "Unknown setting",
        "The configuration file or the environment has a key that does not exist.",
        "correct the key or remove it",
        "BELLWETHER_LISTN=127.0.0.1:2355 bellwether up";
    InvalidSetting = 3102, 400, Usage, "A setting is not valid",
        "The key exists, but its value is not one that it may have.",
        "correct the value; the detail states the rule",
        "listen = \"localhost\" in bellwether.toml";
    ConfigurationUnreadable = 3103, 400, Usage, "The configuration file cannot be read",
        "The file is not there or not readable to this user.",
        "check the path given with --config",
        "bellwether up --config missing.toml";
    ConfigurationMalformed = 3104, 400, Usage, "The configuration file is not TOML",
        "The file can be opened, but its text breaks the rules of TOML at the line that is named.",
        "correct the line",
        "listen 127.0.0.1:2355 in bellwether.toml, without an equals sign";
    InvalidArgument = 3106, 400, Usage, "An argument is not valid",
        "The flag or argument exists, but its value is not one that it may have.",
        "correct the value; the detail states the rule",
        "bellwether up --listen here";
    ConflictingSettings = 3109, 400, Usage, "Settings exclude each other",
        "Each of the settings is good, but not together.",
        "leave one of them out",
        "--tls-cert without --tls-key";
    UnknownCode = 3110, 404, NotFound, "No such code",
        "The table of codes has none with this number.",
        "list all codes with `bellwether explain`",
        "bellwether explain BW-9999";

    // 32: what a client finds
    ServerUnreachable = 3201, 503, Unreachable, "The server cannot be reached",
        "Nothing answers under the control plane's address.",
        "check that it runs and the address given by --server or BELLWETHER_SERVER",
        "bellwether service list while nothing runs";
    AnswerNotUnderstood = 3202, 502, Failed, "The answer cannot be understood",
        "Something answers under the address, but it is not Bellwether, or one of a very different version.",
        "check the address and compare the versions",
        "bellwether status --server http://example.com";
    NewerProblem = 3203, 500, Failed, "A problem that this version does not know",
        "The server is newer than the client and has answered with a code that the client's table does not have. Title, detail and advice are the server's own.",
        "use a client of the server's version to have the code explained",
        "an old command line against a new server";
    CertificateUntrusted = 3204, 502, Unreachable, "The server's certificate is not trusted",
        "The server's certificate is of an unknown authority, has expired, or is for another name.",
        "give the authority with --tls-ca, and use a name that the certificate has",
        "bellwether status --server https://127.0.0.1:2355 with a self-made certificate";
    AnswerTimeout = 3205, 504, Unreachable, "No answer in time",
        "The server accepted the request but did not answer within the client's time-out.",
        "try again; raise --timeout if the request is a large one",
        "bellwether query over a year";
    FileUnreadable = 3207, 400, Usage, "A file cannot be read",
        "The file given to the command is not there or not readable to this user.",
        "check the path; - stands for standard input",
        "bellwether policy apply -f missing.yaml";
    ProcessNotStarted = 3208, 500, Failed, "The process cannot be started",
        "The program that should be run does not exist or is not executable.",
        "check the path after --",
        "bellwether run -- ./missing";
    FileUnwritable = 3209, 500, Failed, "A file cannot be written",
        "The file given to the command cannot be made or written, or its disk is full.",
        "check the path, who may write there, and how much room there is",
        "bellwether backup /read-only/monday.backup";
    PolicyDiffers = 3210, 409, Failed, "The policy differs",
        "What the file says is not what the server has; the differences were printed.",
        "apply the file with `bellwether policy apply`, or take over what the server has with `bellwether policy show`",
        "bellwether policy diff -f cart.yaml, before it is applied";
}
