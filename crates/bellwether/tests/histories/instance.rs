//! One instance as a sequential object: what a registry that does one thing at a time would answer.
//!
//! Registering creates it or says something else of it; who holds no lease gets a new one, and who holds a
//! stale one is refused, as with heartbeats and deregistrations. A read shows what was said last. Each
//! change has a revision above all before it; a registration that changes nothing makes none.
//!
//! Where a watcher's stream is given, every change must be the stream's next one as well: the order of the
//! stream then is an order of the history, without a gap, a duplicate or a change that nobody asked for.

use std::sync::Arc;

use crate::linear::Object;

/// A lease as it was answered; opaque.
pub(crate) type Lease = Arc<str>;

/// Which of a few things is said of an instance.
pub(crate) type Content = u8;

#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) request: Request,
    pub(crate) answer: Answer,
}

#[derive(Debug, Clone)]
pub(crate) enum Request {
    Register { content: Content, held: Option<Lease> },
    Deregister { held: Option<Lease> },
    Heartbeat { held: Lease },
    Read,
}

#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Registered {
        created: bool,
        lease: Lease,
        revision: u64,
    },
    /// A heartbeat or a deregistration was accepted.
    Done,
    Found {
        content: Content,
        revision: u64,
    },
    NotFound,
    Stale,
    /// The connection broke before an answer.
    Lost,
}

/// What a watcher's stream says of the instance.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    /// It changed; none where it is gone.
    Change { revision: u64, content: Option<Content> },
    /// At this revision it was so (content and revision of its last change), whatever was before.
    Snapshot { revision: u64, found: Option<(Content, u64)> },
}

/// An instance that nobody has registered yet.
#[derive(Debug, Default)]
pub(crate) struct Instance {
    /// The stream that its history has to agree with.
    pub(crate) watched: Option<Vec<Told>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    registered: Option<Registered>,
    /// The revision of its last change.
    revision: Revision,
    /// How much of the stream has happened.
    seen: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Registered {
    /// None where the answer that told it was lost.
    lease: Option<Lease>,
    content: Content,
}

/// A revision, as far as answers tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Revision {
    Is(u64),
    /// Greater than this.
    Above(u64),
}

impl Revision {
    /// What the next revision is greater than.
    fn floor(self) -> u64 {
        match self {
            Revision::Is(revision) | Revision::Above(revision) => revision,
        }
    }

    fn may_be(self, revision: u64) -> bool {
        match self {
            Revision::Is(is) => is == revision,
            Revision::Above(floor) => revision > floor,
        }
    }

    /// The revision after this one, as far as it was told.
    fn next(self, told: Option<u64>) -> Option<Revision> {
        match told {
            None => Some(Revision::Above(self.floor())),
            Some(told) => (told > self.floor()).then_some(Revision::Is(told)),
        }
    }
}

impl Object for Instance {
    type State = State;
    type Operation = Operation;

    fn begin(&self) -> State {
        State { registered: None, revision: Revision::Above(0), seen: 0 }
    }

    fn step(&self, state: &State, Operation { request, answer }: &Operation) -> Vec<State> {
        let holds = |held: &Option<Lease>| match (&state.registered, held) {
            (Some(registered), Some(held)) => registered.lease.as_ref() == Some(held),
            (Some(_), None) => true,
            (None, _) => false,
        };
        let unchanged = |so: bool| if so { vec![state.clone()] } else { Vec::new() };
        match (request, answer) {
            (Request::Register { content, held }, Answer::Registered { created, lease, revision }) => {
                self.registered(state, *content, held.as_ref(), *created, lease, *revision)
            }
            (Request::Register { content, held }, Answer::Lost) => {
                let mut states = unchanged(true);
                if state.registered.is_none() || holds(held) {
                    let lease = held.clone().filter(|_| state.registered.is_some());
                    states.extend(self.put(state, Registered { lease, content: *content }, None));
                }
                states
            }
            (Request::Deregister { held }, Answer::Done) if holds(held) => self.change(state, None, None),
            (Request::Deregister { held }, Answer::Lost) => {
                let mut states = unchanged(true);
                states.extend(holds(held).then(|| self.change(state, None, None)).into_iter().flatten());
                states
            }
            (Request::Heartbeat { held }, Answer::Done) => unchanged(holds(&Some(held.clone()))),
            (Request::Heartbeat { .. } | Request::Read, Answer::Lost) => unchanged(true),
            (Request::Read, Answer::Found { content, revision }) => {
                let shown =
                    state.registered.as_ref().is_some_and(|registered| registered.content == *content);
                let mut states = unchanged(shown && state.revision.may_be(*revision));
                states.iter_mut().for_each(|state| state.revision = Revision::Is(*revision));
                states
            }
            (Request::Deregister { .. } | Request::Heartbeat { .. } | Request::Read, Answer::NotFound) => {
                unchanged(state.registered.is_none())
            }
            (Request::Register { held, .. } | Request::Deregister { held }, Answer::Stale) => {
                unchanged(state.registered.is_some() && !holds(held))
            }
            (Request::Heartbeat { held }, Answer::Stale) => {
                unchanged(state.registered.is_some() && !holds(&Some(held.clone())))
            }
            _ => Vec::new(),
        }
    }

    fn may_end(&self, state: &State) -> bool {
        let Some(watched) = &self.watched else { return true };
        let mut state = state.clone();
        while self.pass(&mut state) {}
        state.seen == watched.len()
    }
}

impl Instance {
    fn registered(
        &self,
        state: &State,
        content: Content,
        held: Option<&Lease>,
        created: bool,
        lease: &Lease,
        revision: u64,
    ) -> Vec<State> {
        let next = Registered { lease: Some(lease.clone()), content };
        match &state.registered {
            // Whoever held a lease of an instance that is gone is a newcomer.
            None if created && held != Some(lease) => self.put(state, next, Some(revision)),
            Some(current) if !created => {
                let lease_is_right = match held {
                    Some(held) => held == lease && current.lease.as_ref() == Some(held),
                    None => current.lease.as_ref() != Some(lease),
                };
                if lease_is_right { self.put(state, next, Some(revision)) } else { Vec::new() }
            }
            _ => Vec::new(),
        }
    }

    /// The same content again changes nothing but the lease, and is told a revision that is the registry's.
    fn put(&self, state: &State, next: Registered, told: Option<u64>) -> Vec<State> {
        let same = state.registered.as_ref().is_some_and(|registered| registered.content == next.content);
        if !same {
            return self.change(state, Some(next), told);
        }
        if told.is_some_and(|told| told < state.revision.floor()) {
            return Vec::new();
        }
        vec![State { registered: Some(next), ..state.clone() }]
    }

    /// A change, as the next of the stream where there is one.
    fn change(&self, state: &State, to: Option<Registered>, told: Option<u64>) -> Vec<State> {
        let free = |state: &State| {
            let revision = state.revision.next(told)?;
            Some(State { registered: to.clone(), revision, seen: state.seen })
        };
        let Some(watched) = &self.watched else { return free(state).into_iter().collect() };
        let mut state = state.clone();
        let mut states = Vec::new();
        loop {
            match watched.get(state.seen) {
                Some(Told::Snapshot { revision, .. }) => {
                    // The stream does not tell it, because the snapshot says what became of it…
                    let within = told.unwrap_or(state.revision.floor() + 1) <= *revision;
                    states.extend(free(&state).filter(|_| within));
                    // …or it came after the snapshot.
                    if !self.pass(&mut state) {
                        return states;
                    }
                }
                Some(Told::Change { revision, content }) => {
                    let same = *content == to.as_ref().map(|to| to.content);
                    if same && *revision > state.revision.floor() && told.is_none_or(|told| told == *revision)
                    {
                        let (revision, seen) = (Revision::Is(*revision), state.seen + 1);
                        states.push(State { registered: to, revision, seen });
                    }
                    return states;
                }
                None => return states,
            }
        }
    }

    /// Goes past a snapshot in the stream, if it shows this state.
    fn pass(&self, state: &mut State) -> bool {
        let Some(Told::Snapshot { revision, found }) =
            self.watched.as_ref().and_then(|told| told.get(state.seen))
        else {
            return false;
        };
        match (found, &state.registered) {
            (Some((content, of)), Some(registered))
                if registered.content == *content && state.revision.may_be(*of) =>
            {
                state.revision = Revision::Is(*of);
            }
            (None, None) if state.revision.floor() <= *revision => {}
            _ => return false,
        }
        state.seen += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::{Timed, check};

    fn lease(text: &str) -> Option<Lease> {
        Some(text.into())
    }

    fn register(
        content: Content,
        held: Option<Lease>,
        created: bool,
        given: &str,
        revision: u64,
    ) -> Operation {
        let answer = Answer::Registered { created, lease: given.into(), revision };
        Operation { request: Request::Register { content, held }, answer }
    }

    fn deregister(held: Option<Lease>, answer: Answer) -> Operation {
        Operation { request: Request::Deregister { held }, answer }
    }

    fn heartbeat(held: &str, answer: Answer) -> Operation {
        Operation { request: Request::Heartbeat { held: held.into() }, answer }
    }

    fn read(found: Option<(Content, u64)>) -> Operation {
        let found = found.map(|(content, revision)| Answer::Found { content, revision });
        Operation { request: Request::Read, answer: found.unwrap_or(Answer::NotFound) }
    }

    fn lost(request: Request) -> Operation {
        Operation { request, answer: Answer::Lost }
    }

    fn judge(watched: Option<Vec<Told>>, operations: &[Operation]) -> bool {
        let one_by_one = |(index, operation): (u64, &Operation)| {
            let (invoked, returned) = (2 * index, 2 * index + 1);
            Timed { invoked, returned, operation: operation.clone() }
        };
        let history: Vec<_> = (0..).zip(operations).map(one_by_one).collect();
        check(&Instance { watched }, &history).is_ok()
    }

    #[track_caller]
    fn sound(operations: &[Operation]) {
        assert!(judge(None, operations));
    }

    #[track_caller]
    fn unsound(operations: &[Operation]) {
        assert!(!judge(None, operations));
    }

    #[test]
    fn an_ordinary_life_is_sound() {
        sound(&[
            read(None),
            register(1, None, true, "a", 1),
            heartbeat("a", Answer::Done),
            register(2, lease("a"), false, "a", 2),
            register(2, lease("a"), false, "a", 9),
            register(2, None, false, "b", 9),
            read(Some((2, 2))),
            heartbeat("a", Answer::Stale),
            deregister(lease("a"), Answer::Stale),
        ]);
        sound(&[
            register(1, None, true, "a", 1),
            deregister(lease("a"), Answer::Done),
            read(None),
            heartbeat("a", Answer::NotFound),
            deregister(None, Answer::NotFound),
            register(1, lease("a"), true, "b", 5),
        ]);
    }

    #[test]
    fn a_lease_that_somebody_took_over_is_refused_and_one_that_holds_is_not() {
        let taken = [register(1, None, true, "a", 1), register(2, None, false, "b", 2)];
        let then = |operation| [&taken[..], &[operation]].concat();
        unsound(&then(heartbeat("a", Answer::Done)));
        unsound(&then(heartbeat("b", Answer::Stale)));
        unsound(&then(deregister(lease("a"), Answer::Done)));
        unsound(&then(register(3, lease("a"), false, "a", 3)));
        unsound(&then(register(3, None, false, "b", 3)));
        unsound(&then(register(3, None, true, "c", 3)));
    }

    #[test]
    fn what_was_acknowledged_is_not_forgotten_and_what_is_gone_stays_gone() {
        unsound(&[register(1, None, true, "a", 1), read(None)]);
        unsound(&[register(1, None, true, "a", 1), heartbeat("a", Answer::NotFound)]);
        unsound(&[
            register(1, None, true, "a", 1),
            register(2, lease("a"), false, "a", 2),
            read(Some((1, 1))),
        ]);
        unsound(&[register(1, None, true, "a", 1), deregister(None, Answer::Done), read(Some((1, 1)))]);
    }

    #[test]
    fn revisions_rise_with_changes_and_only_with_them() {
        let first = register(1, None, true, "a", 5);
        unsound(&[first.clone(), register(2, lease("a"), false, "a", 5)]);
        unsound(&[first.clone(), register(2, lease("a"), false, "a", 4)]);
        unsound(&[first.clone(), read(Some((1, 6)))]);
        unsound(&[first.clone(), register(1, lease("a"), false, "a", 8), read(Some((1, 8)))]);
        unsound(&[first, deregister(None, Answer::Done), register(1, None, true, "b", 5)]);
    }

    #[test]
    fn a_lost_answer_may_have_been_either_and_a_read_tells() {
        let first = register(1, None, true, "a", 1);
        let second = lost(Request::Register { content: 2, held: None });
        sound(&[first.clone(), second.clone(), read(Some((1, 1))), heartbeat("a", Answer::Done)]);
        sound(&[first.clone(), second.clone(), read(Some((2, 4))), heartbeat("a", Answer::Stale)]);
        unsound(&[first.clone(), second.clone(), read(Some((2, 4))), heartbeat("a", Answer::Done)]);
        unsound(&[first.clone(), second, read(Some((2, 4))), read(Some((2, 5)))]);
        let gone = lost(Request::Deregister { held: lease("x") });
        unsound(&[first, gone, read(None)]);
    }

    fn change(revision: u64, content: Option<Content>) -> Told {
        Told::Change { revision, content }
    }

    #[test]
    fn a_stream_tells_every_change_once_and_in_order() {
        let history = [
            register(1, None, true, "a", 1),
            register(2, None, false, "b", 2),
            register(2, None, false, "c", 2),
            deregister(None, Answer::Done),
        ];
        let told = |told: &[Told]| judge(Some(told.to_vec()), &history);
        let [first, second, third] = [change(1, Some(1)), change(2, Some(2)), change(3, None)];
        assert!(told(&[first.clone(), second.clone(), third.clone()]));
        assert!(!told(&[first.clone(), second.clone()]), "the last is missing");
        assert!(!told(&[first.clone(), third.clone()]), "a gap");
        assert!(!told(&[first.clone(), second.clone(), second.clone(), third.clone()]), "a duplicate");
        assert!(!told(&[second.clone(), first.clone(), third.clone()]), "another order");
        assert!(!told(&[first, second, third, change(4, Some(1))]), "a change that nobody asked for");
    }

    #[test]
    fn a_snapshot_in_a_stream_stands_for_what_was_before_it() {
        let history = [
            register(1, None, true, "a", 1),
            register(2, None, false, "b", 2),
            register(1, None, false, "c", 3),
        ];
        let told = |told: &[Told]| judge(Some(told.to_vec()), &history);
        let snapshot = |revision, found| Told::Snapshot { revision, found };
        let third = change(3, Some(1));
        assert!(told(&[snapshot(0, None), change(1, Some(1)), change(2, Some(2)), third.clone()]));
        assert!(told(&[snapshot(2, Some((2, 2))), third.clone()]));
        assert!(told(&[change(1, Some(1)), snapshot(3, Some((1, 3)))]));
        assert!(!told(&[snapshot(1, Some((1, 1))), third.clone()]), "the second change is missing");
        assert!(!told(&[snapshot(2, Some((1, 1))), third.clone()]), "an old state");
        assert!(!told(&[snapshot(3, Some((1, 3))), third]), "a duplicate");
    }
}
