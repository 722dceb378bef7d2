//! Taking an address, and whether it may be served as it is.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use socket2::{Domain, Protocol, Socket, Type};
use wire::native::problem::{Code, Problem};

/// Connections that the kernel keeps ready while we are busy; beyond, clients try again by
/// themselves.
const BACKLOG: i32 = 1_024;

/// Listens on `address`. Needs no runtime; the socket is non-blocking, as the runtime wants it.
pub fn bind(address: SocketAddr) -> Result<std::net::TcpListener, Problem> {
    listen(address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => taken(address),
        _ => Problem::new(Code::AddressUnavailable, format!("{address} cannot be served: {error}")),
    })
}

fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Otherwise a restart would have to wait until the last connections of its predecessor are
    // forgotten. A listener that is still alive keeps the address to itself all the same.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn taken(address: SocketAddr) -> Problem {
    let holder = holder(address).map_or_else(String::new, |name| format!(" by {name}"));
    let any = SocketAddr::new(address.ip(), 0);
    Problem::new(Code::AddressInUse, format!("{address} is already taken{holder}"))
        .next(format!("stop the other process, or listen on {any} for any free port"))
}

/// Which process listens on the port, where the operating system tells it to this user.
fn holder(address: SocketAddr) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        listening_inode(&fs::read_to_string(table).ok()?, address.port()).map(str::to_owned)
    })?;
    let socket = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let folder = process.path();
        let Ok(pid) = process.file_name().to_string_lossy().parse::<u32>() else { continue };
        if has_open(&folder, &socket) {
            let name = fs::read_to_string(folder.join("comm")).unwrap_or_default();
            return Some(format!("{} (process {pid})", name.trim().escape_debug()));
        }
    }
    None
}

fn has_open(process: &Path, socket: &str) -> bool {
    let Ok(files) = fs::read_dir(process.join("fd")) else { return false };
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|target| target == Path::new(socket)))
}

/// From the kernel's table: `sl local_address rem_address st … inode`, where state 0A listens.
pub(super) fn listening_inode(table: &str, port: u16) -> Option<&str> {
    let port = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        (columns.len() > 9 && columns[1].ends_with(&port) && columns[3] == "0A").then(|| columns[9])
    })
}

/// Whether only this machine can reach `ip`.
pub fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Whether the control plane may be served there: on loopback always, elsewhere with TLS and tokens,
/// or because the operator insists.
pub fn check_exposure(address: SocketAddr, tls: bool, auth: bool, insecure: bool) -> Result<(), Problem> {
    if is_loopback(address.ip()) || insecure || (tls && auth) {
        return Ok(());
    }
    let missing = match (tls, auth) {
        (false, false) => "neither TLS nor tokens are set up",
        (false, true) => "TLS is not set up",
        (true, _) => "tokens are not required",
    };
    Err(Problem::new(Code::Exposed, format!("other machines can reach {address}, but {missing}")))
}
