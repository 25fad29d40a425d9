//! Finding out whether a request ends the process that reads it, at the expense of another process.
//!
//! That a process died while requests waited proves nothing about them: it may have been killed. So when nothing moves
//! over several deaths, the waiting requests are first read by a child process. If the child dies, the request is to
//! blame.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use waxwing_core::channel::ChannelKind;

/// How long a child may read one request. The largest legal one takes milliseconds.
const READING_MAX: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The command that reads a request as the worker would, and ends with 0. It gets the provider and the query as two more
/// arguments and the body on its standard input.
#[derive(Debug, Clone)]
pub struct Probe {
    /// The program and its arguments.
    pub command: Vec<OsString>,
}

impl Probe {
    /// Whether a child survives reading the body. When no child can be started, nothing is proven and the answer is
    /// yes.
    pub(super) async fn survives(&self, kind: ChannelKind, query: &str, body: Vec<u8>) -> bool {
        let mut command = self.command.clone();
        if !command.is_empty() {
            command.extend([kind.as_str().into(), query.into()]);
        }
        let survived =
            tokio::task::spawn_blocking(move || try_on_child(&command, &body, READING_MAX));
        survived.await.unwrap_or(true)
    }
}

fn try_on_child(command: &[OsString], body: &[u8], limit: Duration) -> bool {
    let Some((program, arguments)) = command.split_first() else {
        return true;
    };
    let spawned = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            tracing::warn!(%error, "no child process could be started to read a request");
            return true;
        }
    };
    if let Some(mut input) = child.stdin.take() {
        // A child that died does not read to the end; its exit status tells.
        let _ = input.write_all(body);
    }
    wait(&mut child, limit)
}

fn wait(child: &mut Child, limit: Duration) -> bool {
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if started.elapsed() < limit => std::thread::sleep(LOOK_EVERY),
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(script: &str, limit: Duration) -> bool {
        let command = ["sh", "-c", script].map(OsString::from);
        try_on_child(&command, &vec![b'x'; 200_000], limit)
    }

    #[test]
    fn only_a_child_that_ends_well_absolves() {
        assert!(outcome("cat > /dev/null", READING_MAX));
        assert!(!outcome("kill -9 $$", READING_MAX));
        assert!(!outcome("cat > /dev/null; exit 3", READING_MAX));
        assert!(!outcome(
            "cat > /dev/null; while :; do :; done",
            Duration::from_millis(50)
        ));
    }

    #[test]
    fn without_a_child_nothing_is_proven() {
        assert!(try_on_child(
            &["/nonexistent/program".into()],
            b"",
            READING_MAX
        ));
        assert!(try_on_child(&[], b"", READING_MAX));
    }
}
