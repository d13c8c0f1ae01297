//! What the daemon asks an XMPP server: do these accounts exist, which roles and groups are there.
//! The server's module keeps a request open at the bridge (`questions`), which is answered as soon as
//! somebody wants to know something.
//!
//! Nothing of it outlives the process, and nobody waits long: an invite is made without an answer,
//! too, with a warning.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;
use uuid::Uuid;

use super::App;
use crate::config::Host;
use crate::error::Error;
use crate::invite::{Kind, NewInvite};

/// How long an answer is waited for.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// How long the module's request stays open if there is nothing to ask.
const POLL: Duration = Duration::from_secs(20);
/// How long the module may take to come back before it counts as gone.
const ABSENCE: Duration = Duration::from_secs(5);
/// Most requests of modules that are open for one host: a module has one.
const MAX_POLLS: usize = 8;
/// Most questions of one host at a time, and most that are handed out at once.
const MAX_QUESTIONS: usize = 1_024;
const MAX_AT_ONCE: usize = 16;
/// Most names in one question, and their bytes: the answer fits into a body, and the server, which has
/// one thread for everything, is not held up.
const MAX_NAMES: usize = 500;
const MAX_BYTES: usize = 16 * 1024;

/// What somebody wants to know of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wanted {
    pub accounts: BTreeSet<String>,
    pub roles: bool,
    pub groups: bool,
}

/// How a name stands with its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    Disabled,
    Exists,
    Missing,
    /// There is no such account, and none can be made: the server could not store it.
    Unusable,
}

/// What a server says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Known {
    /// Those of which the server cannot tell are left out.
    pub accounts: HashMap<String, Standing>,
    /// Left out if the server takes any name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
    /// Whether the server said which roles and groups it knows, if only by leaving them out.
    pub answered: bool,
}

/// A question on its way to the server.
#[derive(Debug, Clone, Serialize)]
pub struct Question {
    pub id: String,
    #[serde(flatten)]
    pub wanted: Wanted,
}

impl Wanted {
    /// Whether the server has to be asked before this is made.
    pub(super) fn is_needed(new: &NewInvite) -> bool {
        new.localpart.is_some() || !new.details.roles.is_empty() || !new.details.groups.is_empty()
    }

    /// What has to be known before these are made.
    pub fn about(new: &[NewInvite]) -> Self {
        let names = new.iter().filter_map(|new| new.localpart.as_ref());
        Self {
            accounts: names.map(ToString::to_string).collect(),
            roles: new.iter().any(|new| !new.details.roles.is_empty()),
            groups: new.iter().any(|new| !new.details.groups.is_empty()),
        }
    }

    /// Whether there is nothing to ask.
    pub fn is_nothing(&self) -> bool {
        self.accounts.is_empty() && !self.roles && !self.groups
    }

    /// The same as questions of bearable size; the first one asks for roles and groups.
    fn in_parts(self) -> Vec<Self> {
        let (mut parts, mut bytes) = (Vec::new(), 0);
        let mut part = Self {
            accounts: BTreeSet::new(),
            ..self
        };
        for name in self.accounts {
            if part.accounts.len() == MAX_NAMES || bytes + name.len() > MAX_BYTES {
                parts.push(std::mem::take(&mut part));
                bytes = 0;
            }
            bytes += name.len();
            part.accounts.insert(name);
        }
        parts.push(part);
        parts
    }
}

impl Known {
    /// What speaks against making the invite, or else what its maker should hear.
    pub fn judge(&self, host: &Host, new: &NewInvite) -> Result<Vec<String>, Error> {
        let mut doubts = Vec::new();
        if let Some(name) = &new.localpart {
            let account = format!("{name}@{}", host.domain);
            match (new.kind, self.accounts.get(name.as_str())) {
                (_, None) => doubts.push(format!(
                    "The chat server did not say whether {account} exists."
                )),
                (Kind::Account, Some(Standing::Missing))
                | (Kind::Contact | Kind::Reset, Some(Standing::Exists)) => {}
                (Kind::Account, Some(Standing::Exists | Standing::Disabled)) => {
                    return Err(Error::NameTaken);
                }
                (Kind::Account, Some(Standing::Unusable)) => {
                    let reason = "this name is too long for the chat server";
                    return Err(Error::invalid("username", reason));
                }
                (_, Some(Standing::Disabled)) => {
                    doubts.push(format!("The account {account} is disabled."));
                }
                (kind, Some(Standing::Missing | Standing::Unusable)) => {
                    let field = if kind == Kind::Contact {
                        "inviter"
                    } else {
                        "username"
                    };
                    let reason = format!("there is no account {account}");
                    return Err(Error::invalid(field, reason));
                }
            }
        }
        for (field, one, asked, known) in [
            ("roles", "role", &new.details.roles, &self.roles),
            ("groups", "group", &new.details.groups, &self.groups),
        ] {
            if asked.is_empty() {
                continue;
            }
            if let Some(known) = known
                && let Some(unknown) = asked.iter().find(|name| !known.contains(*name))
            {
                let list = match known.as_slice() {
                    [] => "it has none".to_owned(),
                    known => format!("it has: {}", known.join(", ")),
                };
                let reason = format!("the chat server has no {one} {unknown:?}; {list}");
                return Err(Error::invalid(field, reason));
            }
            if known.is_none() && !self.answered {
                doubts.push(format!("The chat server did not say which {field} it has."));
            }
        }
        Ok(doubts)
    }
}

/// The questions of one host.
#[derive(Debug, Default)]
pub(super) struct Line {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Those that no module has fetched yet.
    waiting: VecDeque<Question>,
    /// Who waits for which answer.
    askers: HashMap<String, oneshot::Sender<Known>>,
    polls: usize,
    last_poll: Option<Instant>,
    closed: bool,
}

/// Does something when it is dropped: also when a client hangs up, and the rest never happens.
struct Finally<F: FnMut()>(F);

impl<F: FnMut()> Drop for Finally<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the server says to one question; nothing if nobody is there or says something in time.
    async fn ask(&self, wanted: Wanted) -> Option<Known> {
        let id = Uuid::new_v4().simple().to_string();
        let (sender, answer) = oneshot::channel();
        {
            let mut state = self.state();
            let is_there = state.polls > 0
                || state
                    .last_poll
                    .is_some_and(|moment| moment.elapsed() < ABSENCE);
            if state.closed || !is_there || state.askers.len() >= MAX_QUESTIONS {
                return None;
            }
            state.askers.insert(id.clone(), sender);
            state.waiting.push_back(Question {
                id: id.clone(),
                wanted,
            });
        }
        self.changed.notify_one();
        let _forgotten = Finally(|| {
            let mut state = self.state();
            state.askers.remove(&id);
            state.waiting.retain(|question| question.id != id);
        });
        timeout(PATIENCE, answer).await.ok()?.ok()
    }

    /// What the server is asked, as soon as there is something; empty after a while.
    async fn next(&self) -> Result<Vec<Question>, Error> {
        {
            let mut state = self.state();
            if state.polls >= MAX_POLLS {
                return Err(Error::StoreBusy);
            }
            state.polls += 1;
        }
        let _gone = Finally(|| {
            let mut state = self.state();
            state.polls -= 1;
            state.last_poll = Some(Instant::now());
        });
        let found = async {
            loop {
                // Made before the look, so that nothing falls between the two.
                let changed = self.changed.notified();
                {
                    let mut state = self.state();
                    if state.closed || !state.waiting.is_empty() {
                        let count = state.waiting.len().min(MAX_AT_ONCE);
                        return state.waiting.drain(..count).collect();
                    }
                }
                changed.await;
            }
        };
        Ok(timeout(POLL, found).await.unwrap_or_default())
    }

    fn take_answer(&self, id: &str, known: Known) {
        if let Some(asker) = self.state().askers.remove(id) {
            // Whoever asked may give up at this moment.
            let _ = asker.send(known);
        }
    }

    fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.askers.clear();
        drop(state);
        self.changed.notify_waiters();
    }
}

impl App {
    /// What the XMPP server says, as far as it says something in time.
    pub async fn ask_server(&self, host: &Host, wanted: Wanted) -> Known {
        let line = &self.lines[self.position(host)];
        let parts = wanted.in_parts().into_iter();
        let mut answers = join_all(parts.map(|part| line.ask(part))).await.into_iter();
        let mut known = match answers.next().flatten() {
            Some(first) => Known {
                answered: true,
                ..first
            },
            None => Known::default(),
        };
        for more in answers.flatten() {
            known.accounts.extend(more.accounts);
        }
        known
    }

    /// What the makers of these invites should hear, one list for each; an error if the server knows
    /// better.
    pub(super) async fn check_with_server(
        &self,
        host: &Host,
        new: &[NewInvite],
    ) -> Result<Vec<Vec<String>>, (usize, Error)> {
        let wanted = Wanted::about(new);
        if wanted.is_nothing() {
            return Ok(vec![Vec::new(); new.len()]);
        }
        let known = self.ask_server(host, wanted).await;
        new.iter()
            .enumerate()
            .map(|(at, new)| known.judge(host, new).map_err(|error| (at, error)))
            .collect()
    }

    /// What the XMPP server is asked, for its module.
    pub async fn next_questions(&self, host: &Host) -> Result<Vec<Question>, Error> {
        self.lines[self.position(host)].next().await
    }

    /// What the module says to a question.
    pub fn take_answer(&self, host: &Host, id: &str, known: Known) {
        self.lines[self.position(host)].take_answer(id, known);
    }

    /// Nothing is asked any more, and modules that wait for questions hear so.
    pub fn close_questions(&self) {
        for line in &*self.lines {
            line.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_asked_in_parts_and_each_once() {
        let wanted = Wanted {
            accounts: (0..1_200)
                .map(|n| format!("user{n}"))
                .chain((0..40).map(|n| format!("{n}{}", "x".repeat(1_000))))
                .collect(),
            roles: true,
            groups: false,
        };
        let parts = wanted.clone().in_parts();
        assert_eq!(parts.iter().filter(|part| part.roles).count(), 1);
        assert!(parts[0].roles, "whoever merges looks there");
        for part in &parts {
            assert!(part.accounts.len() <= MAX_NAMES);
            assert!(part.accounts.iter().map(String::len).sum::<usize>() <= MAX_BYTES);
        }
        let together: BTreeSet<_> = parts.into_iter().flat_map(|part| part.accounts).collect();
        assert_eq!(together, wanted.accounts);
    }
}
