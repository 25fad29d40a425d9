//! Files and connections that the process may have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Connections at once, where the system allows it.
const CONNECTIONS_MAX: usize = 8192;

/// Takes all the file descriptors that the system offers: the usual soft limit is meant for programs that would break
/// beyond 1024, and each connection is one.
pub fn raise_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Without it the process works, with fewer connections.
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// How many connections the API may hold: half of the files, so that providers and the database have the rest.
pub fn connections_max() -> usize {
    let files = getrlimit(Resource::Nofile)
        .current
        .map_or(usize::MAX, |files| {
            usize::try_from(files).unwrap_or(usize::MAX)
        });
    CONNECTIONS_MAX.min(files / 2).max(16)
}
