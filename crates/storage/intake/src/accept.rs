//! The answer to a batch.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::sync::oneshot;

use crate::AcceptError;

/// What became of a batch that was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// How many of its things are stored.
    pub stored: u64,
    /// It had been taken in before, and changed nothing this time.
    pub is_duplicate: bool,
}

pub(crate) type Answer = Result<Receipt, AcceptError>;

/// The answer to a batch: a future for tasks, [`wait`](Self::wait) for threads. Dropping it changes
/// nothing: the batch is taken in all the same.
#[derive(Debug)]
#[must_use = "the batch is durable only when this resolves to Ok"]
pub struct Accept(Waiting);

#[derive(Debug)]
enum Waiting {
    Answered(Option<Answer>),
    Asked(oneshot::Receiver<Answer>),
}

impl Accept {
    /// The answer to a batch that is refused before it gets anywhere.
    pub fn refused(error: AcceptError) -> Self {
        Self::answered(Err(error))
    }

    pub(crate) fn answered(answer: Answer) -> Self {
        Self(Waiting::Answered(Some(answer)))
    }

    pub(crate) fn asked(answer: oneshot::Receiver<Answer>) -> Self {
        Self(Waiting::Asked(answer))
    }

    /// Blocks the thread until the batch is durable. Not for asynchronous tasks: await it there.
    pub fn wait(self) -> Result<Receipt, AcceptError> {
        match self.0 {
            Waiting::Answered(answer) => answer.unwrap_or(Err(AcceptError::Closed)),
            Waiting::Asked(answer) => answer.blocking_recv().unwrap_or(Err(AcceptError::Closed)),
        }
    }
}

impl Future for Accept {
    type Output = Result<Receipt, AcceptError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Waiting::Answered(answer) => Poll::Ready(answer.take().unwrap_or(Err(AcceptError::Closed))),
            Waiting::Asked(answer) => {
                Pin::new(answer).poll(context).map(|answer| answer.unwrap_or(Err(AcceptError::Closed)))
            }
        }
    }
}
