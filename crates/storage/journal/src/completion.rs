//! One answer from the committer's thread to one waiter, who may be a task or a thread.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

#[derive(Debug)]
enum State<T> {
    Waiting(Option<Waker>),
    Done(T),
    /// Nobody will answer, or the answer was taken.
    Over,
}

#[derive(Debug)]
struct Slot<T>(Mutex<State<T>>);

impl<T> Slot<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, with: State<T>) {
        let before = std::mem::replace(&mut *self.state(), with);
        if let State::Waiting(Some(waker)) = before {
            waker.wake();
        }
    }
}

/// The side that answers. Dropping it tells the waiter that there will be no answer.
#[derive(Debug)]
pub(crate) struct Completion<T>(Option<Arc<Slot<T>>>);

impl<T> Completion<T> {
    pub(crate) fn answer(mut self, answer: T) {
        if let Some(slot) = self.0.take() {
            slot.end(State::Done(answer));
        }
    }
}

impl<T> Drop for Completion<T> {
    fn drop(&mut self) {
        if let Some(slot) = self.0.take() {
            slot.end(State::Over);
        }
    }
}

/// The side that waits: a future, or [`Waiter::wait`] for a thread. `None` when nobody answers.
#[derive(Debug)]
pub(crate) struct Waiter<T>(Arc<Slot<T>>);

pub(crate) fn completion<T>() -> (Completion<T>, Waiter<T>) {
    let slot = Arc::new(Slot(Mutex::new(State::Waiting(None))));
    (Completion(Some(slot.clone())), Waiter(slot))
}

impl<T> Waiter<T> {
    /// Already answered.
    pub(crate) fn answered(answer: T) -> Waiter<T> {
        Waiter(Arc::new(Slot(Mutex::new(State::Done(answer)))))
    }

    /// Blocks the thread until the answer is there.
    pub(crate) fn wait(mut self) -> Option<T> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(answer) = Pin::new(&mut self).poll(&mut context) {
                return answer;
            }
            thread::park();
        }
    }
}

impl<T> Future for Waiter<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.state();
        match std::mem::replace(&mut *state, State::Over) {
            State::Done(answer) => Poll::Ready(Some(answer)),
            State::Over => Poll::Ready(None),
            State::Waiting(_) => {
                *state = State::Waiting(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
