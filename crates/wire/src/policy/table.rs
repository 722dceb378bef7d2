//! What a policy document may say.
//!
//! The ranges are those of `resilience`, which checks them again; a test proves that both agree.

use resilience::{
    BOUNDED_MAX, CONTENT_TYPE_MAX, FALLBACK_BODY_MAX, KEY_NAME_MAX, PROBES_MAX, RATE_LIMITS_MAX,
    RETRY_ON_MAX, WINDOW_CALLS_MAX,
};

use super::{
    API_VERSION, Kind,
    shape::{
        Field, Pattern,
        Shape::{self, Duration, Either, Flag, Integer, List, Number, Object, OneOf, Share, Text, Word},
    },
};

/// The members of a document of this kind.
pub(super) fn document(kind: Kind) -> &'static [Field] {
    match kind {
        Kind::ServicePolicy => SERVICE_POLICY,
        Kind::NamespaceDefaults => NAMESPACE_DEFAULTS,
    }
}

const LABEL: Shape = Text(63, Pattern::Label);

const fn head(spec: Shape) -> [Field; 4] {
    [
        Field::new("apiVersion", "the version of this format", Word(&[API_VERSION])).needed(),
        Field::new("kind", "what the document is", Word(&["ServicePolicy", "NamespaceDefaults"])).needed(),
        Field::new("metadata", "which document it is", Object(METADATA)).needed(),
        Field::new("spec", "what it says", spec).needed(),
    ]
}

const METADATA: &[Field] = &[
    Field::new("name", "the name of the policy", LABEL).needed(),
    Field::new("namespace", "its namespace; where it is not given, the one that it is written to", LABEL),
];

const SERVICE_POLICY: &[Field] = &head(Object(&[
    Field::new("service", "the service whose calls it is for", LABEL).needed(),
    SECTIONS[0],
    SECTIONS[1],
    SECTIONS[2],
    SECTIONS[3],
    SECTIONS[4],
    SECTIONS[5],
    SECTIONS[6],
    SECTIONS[7],
    SECTIONS[8],
]));

const NAMESPACE_DEFAULTS: &[Field] = &head(Object(&SECTIONS));

/// What holds for calls. A section that is given takes the place of the whole section below it.
const SECTIONS: [Field; 9] = [
    Field::new("timeouts", "how long things may take", Object(TIMEOUTS)),
    Field::new("retry", "when to try again; null for never", Object(RETRY)).nullable(),
    Field::new("circuit_breaker", "when to refuse calls; null for never", Object(&breaker())).nullable(),
    Field::new("outlier_detection", "when to take an endpoint out; null for never", Object(&outliers()))
        .nullable(),
    Field::new("load_balancing", "which endpoint to choose", Object(LOAD_BALANCING)),
    Field::new(
        "rate_limits",
        "how many calls in how much time; null for any number",
        List(&RATE_LIMIT, RATE_LIMITS_MAX),
    )
    .nullable(),
    Field::new("concurrency", "how many calls at once; null for any number", Object(CONCURRENCY)).nullable(),
    Field::new("fallback", "what to answer instead of an error; null for the error", Object(FALLBACK))
        .nullable(),
    Field::new("tracing", "which of the traces that begin with these calls are kept", Object(TRACING)),
];

const TIMEOUTS: &[Field] = &[
    Field::new("connect", "to a connection, name resolution included; 1s by default", Duration),
    Field::new(
        "attempt",
        "from a connection to the head of the response, for one attempt; null leaves it to call",
        Duration,
    )
    .nullable(),
    Field::new(
        "call",
        "from the request's head to the response's, over all attempts; 15s by default",
        Duration,
    ),
    Field::new("idle", "between two pieces of a body; 5m by default", Duration),
];

const RETRY: &[Field] = &[
    Field::new("max_retries", "how many tries beside the first; 1 by default", Integer(0, 10)),
    Field::new(
        "on",
        "after what; connect_failure and refused_stream by default",
        List(&RETRY_ON, RETRY_ON_MAX),
    ),
    Field::new("non_idempotent", "whether also a POST that may have been processed; false by default", Flag),
    Field::new(
        "backoff",
        "how long to wait before",
        Object(&[
            Field::new("base", "the bound of the first wait; 25ms by default", Duration),
            Field::new("max", "the largest bound; 250ms by default", Duration),
        ]),
    ),
    Field::new(
        "budget",
        "how many retries over all calls",
        Object(&[
            Field::new("ratio", "retries per call; 20% by default", Share(false)),
            Field::new(
                "min_per_second",
                "retries that are allowed in any case; 3 by default",
                Integer(0, 1000),
            ),
        ]),
    ),
];

const RETRY_ON: Shape = Either(&[
    Word(&["connect_failure", "refused_stream", "reset", "attempt_timeout", "5xx"]),
    Text(3, Pattern::ErrorStatus),
    Integer(400, 599),
]);

const WINDOW: Shape = Either(&[
    Duration,
    Object(&[Field::new("calls", "so many calls", Integer(1, WINDOW_CALLS_MAX as u64)).needed()]),
]);

const fn breaker() -> [Field; 7] {
    const CALLS: Shape = Integer(1, 1_000_000);
    const CONSECUTIVE: &[Field] = &[Field::new(
        "threshold",
        "how many failures in a row are accepted; one more opens",
        Integer(1, 100_000),
    )
    .needed()];
    const FAILURES: &[Field] = &[
        Field::new("threshold", "the share of calls that may fail", Share(true)).needed(),
        Field::new("window", "of which calls; 10s by default", WINDOW),
        Field::new("min_calls", "fewer calls say nothing; 20 by default", CALLS),
    ];
    const SLOW: &[Field] = &[
        Field::new("threshold", "the share of calls that may be slow", Share(true)).needed(),
        Field::new("slow_after", "beyond what a call is slow", Duration).needed(),
        Field::new("window", "of which calls; the same as failure_rate's; 10s by default", WINDOW),
        Field::new("min_calls", "fewer calls say nothing; 20 by default", CALLS),
    ];
    const OPEN_FOR: &[Field] = &[
        Field::new("base", "the first time", Duration).needed(),
        Field::new(
            "multiplier",
            "how much longer each time that it opens again; 1 by default",
            Number(1.0, 10.0),
        ),
        Field::new("max", "the longest; 1m by default", Duration),
        Field::new("jitter", "the share that is added at random; 0% by default", Share(false)),
    ];
    const HALF_OPEN: &[Field] = &[
        Field::new("probes", "how many calls may be under way; 3 by default", Integer(1, PROBES_MAX as u64)),
        Field::new(
            "successes",
            "how many must succeed to close; as many as probes by default",
            Integer(1, 255),
        ),
        Field::new("close_at", "the share of them that must succeed; without it each must", Share(true)),
        Field::new("lease", "how long a probe may hold its place; 20s by default", Duration),
        Field::new("max", "how long the probes may take to decide; as long as it takes by default", Duration),
    ];
    [
        Field::new(
            "mode",
            "enforce, shadow (say and permit) or disabled",
            Word(&["enforce", "shadow", "disabled"]),
        ),
        Field::new(
            "consecutive_failures",
            "failures in a row; 5 by default; null for no such rule",
            Object(CONSECUTIVE),
        )
        .nullable(),
        Field::new("failure_rate", "which share of calls may fail", Object(FAILURES)).nullable(),
        Field::new("slow_call_rate", "which share of calls may be slow", Object(SLOW)).nullable(),
        Field::new(
            "open_for",
            "how long it stays open; 5s by default",
            Either(&[Duration, Object(OPEN_FOR)]),
        ),
        Field::new("half_open", "how it finds out about recovery", Object(HALF_OPEN)),
        Field::new("ramp", "from the first call after a recovery to all of them", Duration).nullable(),
    ]
}

const fn outliers() -> [Field; 11] {
    const DEVIATION: &[Field] = &[
        Field::new("factor", "so many standard deviations below the mean", Number(0.1, 10.0)).needed(),
        Field::new(
            "min_calls",
            "fewer calls of an endpoint say nothing; 100 by default",
            Integer(1, 1_000_000),
        ),
        Field::new("min_endpoints", "fewer endpoints say nothing; 5 by default", Integer(2, 10_000)),
    ];
    let [mode, consecutive, failures, slow, open_for, half_open, ramp] = breaker();
    [
        mode,
        consecutive,
        failures,
        slow,
        open_for,
        half_open,
        ramp,
        Field::new("max_ejection", "the share that may be out at a time; 30% by default", Share(false)),
        Field::new("keep", "as many stay in any case; 1 by default", Integer(0, 100_000)),
        Field::new(
            "panic_below",
            "where less than this share is left, all are used; 50% by default",
            Share(false),
        ),
        Field::new("deviation", "takes out who succeeds less often than its siblings", Object(DEVIATION))
            .nullable(),
    ]
}

const NAMED_KEYS: [Field; 3] = [
    Field::new("header", "the value of this header, in lower case", Text(KEY_NAME_MAX, Pattern::Header)),
    Field::new("cookie", "the value of this cookie", Text(KEY_NAME_MAX, Pattern::Token)),
    Field::new("query", "the value of this parameter of the query", Text(KEY_NAME_MAX, Pattern::Visible)),
];

const LOAD_BALANCING: &[Field] = &[
    Field::new(
        "algorithm",
        "p2c by default; ring and maglev need a hash_key",
        Word(&["p2c", "least_request", "round_robin", "random", "ring", "maglev"]),
    ),
    Field::new(
        "hash_key",
        "what calls have in common that go to the same endpoint",
        Either(&[Word(&["path", "source"]), OneOf(&NAMED_KEYS)]),
    ),
    Field::new(
        "bounded",
        "no endpoint above this many times the mean, such as 1.25",
        Number(1.0, BOUNDED_MAX),
    ),
];

const RATE_LIMIT: Shape = Object(&[
    Field::new("calls", "how many", Integer(1, 1_000_000_000)).needed(),
    Field::new("per", "in how much time; 1s by default", Duration),
    Field::new(
        "burst",
        "how many may come at once after a pause; as many as calls by default",
        Integer(1, 1_000_000),
    ),
    Field::new(
        "by",
        "each of these has the rate for itself; without it all calls together",
        Either(&[Word(&["caller", "path", "source"]), OneOf(&NAMED_KEYS)]),
    ),
]);

const CONCURRENCY: &[Field] = &[
    Field::new("limit", "calls under way", Integer(1, 1_000_000)).needed(),
    Field::new("queue", "calls that wait; 0 by default", Integer(0, 1_000_000)),
    Field::new("wait", "how long a call waits; 1s by default", Duration),
];

const FALLBACK: &[Field] = &[
    Field::new("status", "the status of the answer", Integer(200, 599)).needed(),
    Field::new(
        "content_type",
        "the type of the body; application/json by default",
        Text(CONTENT_TYPE_MAX, Pattern::Ascii),
    ),
    Field::new("body", "the body; none by default", Text(FALLBACK_BODY_MAX, Pattern::Any)),
];

const TRACING: &[Field] =
    &[Field::new("share", "their share, by the ids of traces; 100% by default", Share(false))];
