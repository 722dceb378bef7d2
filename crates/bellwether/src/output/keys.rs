//! Keys as they are pressed, where somebody sits at a terminal.

use std::{
    io::{self, IsTerminal, Read},
    thread,
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::mpsc;
use wire::native::problem::{Code, Problem};

/// Keys that wait to be read. More are lost: nobody types so fast.
const WAITING: usize = 16;

/// The keys of a terminal that neither shows them nor waits for the end of a line. Dropped, it does again.
#[derive(Debug)]
pub(crate) struct Keys {
    before: Termios,
    pressed: mpsc::Receiver<u8>,
}

impl Keys {
    /// Listens; `None` where standard input or standard output is no terminal.
    pub(crate) fn listen() -> Result<Option<Self>, Problem> {
        let input = io::stdin();
        if !input.is_terminal() || !io::stdout().is_terminal() {
            return Ok(None);
        }
        let failed = |error: rustix::io::Errno| {
            Problem::new(Code::Internal, format!("the terminal cannot be set: {error}"))
                .next("say --once, or give it a file as its standard input")
        };
        let before = tcgetattr(&input).map_err(failed)?;
        let mut mode = before.clone();
        // Signals stay what they are, so that ^C ends it.
        mode.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        tcsetattr(&input, OptionalActions::Now, &mode).map_err(failed)?;
        let (sender, pressed) = mpsc::channel(WAITING);
        // A thread of its own, which ends with the process: nothing can end a read of a terminal.
        thread::spawn(move || {
            for key in io::stdin().lock().bytes().map_while(Result::ok) {
                if matches!(sender.try_send(key), Err(mpsc::error::TrySendError::Closed(_))) {
                    return;
                }
            }
        });
        Ok(Some(Self { before, pressed }))
    }

    /// The next key; never where nobody can press one.
    pub(crate) async fn next(keys: &mut Option<Self>) -> u8 {
        if let Some(keys) = keys
            && let Some(key) = keys.pressed.recv().await
        {
            return key;
        }
        std::future::pending().await
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// How many lines the terminal shows; `None` where standard output is none.
pub(crate) fn rows() -> Option<usize> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    (size.ws_row > 0).then(|| usize::from(size.ws_row))
}
