//! Who invited whom, from what was written down when accounts were made.

use std::collections::{HashMap, HashSet, VecDeque};

use super::App;
use crate::config::Host;
use crate::error::Error;
use crate::jid::Localpart;
use crate::registration::PastRegistration;

/// Most accounts that a tree shows.
pub const TREE_SIZE: usize = 10_000;
/// How deep it shows them: whoever draws or reads it goes down step by step, too.
const TREE_DEPTH: usize = 100;

/// An account, and those that came of its invites.
#[derive(Debug)]
pub struct Branch {
    pub registration: PastRegistration,
    pub branches: Vec<Branch>,
}

impl App {
    /// The line of inviters above a user, nearest first: how the user's account came to be, how
    /// the account of who invited came to be, and so on.
    pub async fn inviters_of(
        &self,
        host: &Host,
        user: &Localpart,
    ) -> Result<Vec<PastRegistration>, Error> {
        let mut line: Vec<PastRegistration> = Vec::new();
        let mut seen = HashSet::new();
        let mut next = Some(user.clone());
        while let Some(name) = next.take() {
            if !seen.insert(name.clone()) {
                break;
            }
            let made = self.store.registrations_as(&host.domain, &name).await?;
            if let Some(latest) = made.into_iter().find(PastRegistration::is_account) {
                next.clone_from(&latest.creator);
                line.push(latest);
            }
        }
        Ok(line)
    }

    /// The accounts that came of a user's invites, with those that came of theirs, and so on, a
    /// hundred steps down; at most [`TREE_SIZE`].
    pub async fn invited_by(&self, host: &Host, user: &Localpart) -> Result<Vec<Branch>, Error> {
        let mut found: HashMap<Localpart, Vec<PastRegistration>> = HashMap::new();
        let mut waiting = VecDeque::from([(user.clone(), 0)]);
        let mut count = 0;
        while let Some((name, depth)) = waiting.pop_front() {
            if found.contains_key(&name) || count >= TREE_SIZE || depth == TREE_DEPTH {
                continue;
            }
            let mut made = self.store.registrations_by(&host.domain, &name).await?;
            made.truncate(TREE_SIZE - count);
            count += made.len();
            let below = made.iter().map(|account| account.localpart.clone());
            waiting.extend(below.map(|name| (name, depth + 1)));
            found.insert(name, made);
        }
        Ok(branches(user, &mut found))
    }
}

/// Takes what each user's invites gave out of `found`, so that a circle ends.
fn branches(
    user: &Localpart,
    found: &mut HashMap<Localpart, Vec<PastRegistration>>,
) -> Vec<Branch> {
    let made = found.remove(user).unwrap_or_default();
    made.into_iter()
        .map(|registration| Branch {
            branches: branches(&registration.localpart.clone(), found),
            registration,
        })
        .collect()
}
