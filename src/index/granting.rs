//! Answering lease requests: gathers the facts, lets [`crate::index::lease`] decide, writes the
//! lease.

use crate::base::sql::row::{Row, epoch, number, text, timestamp};
use crate::base::sql::{Sql, SqlError, Value};
use crate::base::time::{Epoch, Timestamp};
use crate::cache::key::{KeyDigest, Selection};
use crate::index::lease::{LeaseDecision, LeaseQuery, RETRY, Version, decide};

use super::answer::{Grant, LeaseReply, Ready};
use super::message::LeaseRequest;
use super::rows::{PageRow, VariantRow, url_number};
use super::sweep::LEASES_KEPT;
use super::transaction::{ShardError, ShardTransaction};

impl<S: Sql> ShardTransaction<'_, S> {
    pub(super) fn lease(&mut self, request: &LeaseRequest) -> Result<LeaseReply, ShardError> {
        self.note_lease(request);
        let page = self.page(&request.key.digest())?;
        let known_vary = page.as_ref().map_or(&[][..], |page| &page.vary);
        if let Some(names) = missing(known_vary, &request.selection) {
            return Ok(LeaseReply::Vary { names });
        }
        let digest = request.key.variant(&request.selection).digest();
        let variant =
            page.as_ref().map(|page| self.variant(page.id, &digest)).transpose()?.flatten();
        if let Some(variant) = &variant {
            self.note_request(variant, request.hits)?;
        }
        let ready = variant.as_ref().and_then(|variant| variant.ready(self.now));
        let holder = self.holder(&digest)?;
        let ticket_until = match ready {
            Some((_, version)) if request.lagged => {
                self.ticket(&digest, &request.colo, version.fence)?
            }
            Some(_) | None => None,
        };
        let &LeaseRequest { need, have_fence, lagged, .. } = request;
        let ask = LeaseQuery { need, have_fence, lagged };
        let version = ready.map(|(_, version)| version);
        let decision = decide(ask, version, holder, ticket_until, self.now);
        if request.ready_only && decision != LeaseDecision::Ready {
            return Ok(LeaseReply::Wait { retry: RETRY, latest_fence: self.state.fence });
        }
        let (fence, stamp) = match (decision, ready) {
            (LeaseDecision::Wait(retry), _) => {
                return Ok(LeaseReply::Wait { retry, latest_fence: self.state.fence });
            }
            (LeaseDecision::Ready, Some((l2_key, version))) => {
                return Ok(LeaseReply::Ready(self.ready(l2_key, version)));
            }
            (LeaseDecision::Ticket, Some((_, version))) => {
                self.give_ticket(&digest, &request.colo, version.fence)?;
                (version.fence, self.state.seen)
            }
            (LeaseDecision::Grant, _) | (LeaseDecision::Ready | LeaseDecision::Ticket, None) => {
                // A requester with a higher number: this shard lost its storage. Go on past it.
                self.state.fence = self.state.fence.max(request.have_fence);
                self.note_leased_url(request)?;
                self.grant(&digest)?
            }
        };
        let grant = self.grant_of(request, (page, variant), (fence, stamp), holder.is_none())?;
        Ok(if decision == LeaseDecision::Ticket {
            LeaseReply::Ticket(grant)
        } else {
            LeaseReply::Grant(grant)
        })
    }

    /// What is granted with a fencing number and a stamp.
    fn grant_of(
        &self,
        request: &LeaseRequest,
        (page, variant): (Option<PageRow>, Option<VariantRow>),
        (fence, stamp): (u64, Epoch),
        unclaimed: bool,
    ) -> Result<Grant, SqlError> {
        let Some(page) = page else {
            return Ok(Grant { fence, stamp, first: unclaimed, ..Grant::default() });
        };
        let stored = match variant {
            Some(variant) => Some(variant),
            // Who asks may know of more names than are recorded: an answer that was not stored has
            // them in its `Vary`.
            None => {
                let selected = request.selection.restricted_to(&page.vary);
                self.variant(page.id, &request.key.variant(&selected).digest())?
            }
        };
        Ok(Grant {
            fence,
            stamp,
            tags: self.known_tags(page.id, stored.as_ref())?,
            stored: stored.as_ref().is_some_and(|variant| variant.stored().is_some()),
            stored_status: stored.as_ref().and_then(VariantRow::stored_status),
            vary: page.vary,
            first: false,
        })
    }

    /// Notes what a request for a lease says of its sender. The epochs that the sender knows raise
    /// the stamps of all that follow (`lease_seen`).
    fn note_lease(&mut self, request: &LeaseRequest) {
        self.state.seen = self.state.seen.max(request.seen);
        if request.unrecorded > 0 {
            self.state.unrecorded = self.unknown().saturating_add(u64::from(request.unrecorded));
            self.state.unrecorded_at = self.now;
        }
    }

    /// A stored response that the requester may read.
    fn ready(&self, l2_key: &str, version: Version) -> Ready {
        Ready { l2_key: l2_key.to_owned(), fence: version.fence, latest_fence: self.state.fence }
    }

    /// Notes the URL of a page that is leased under a key that does not follow from it.
    fn note_leased_url(&self, request: &LeaseRequest) -> Result<(), SqlError> {
        if request.key.is_address_of(&request.page) {
            return Ok(());
        }
        let until = self.now.plus(self.config.lease).plus(LEASES_KEPT);
        self.sql.exec(
            "INSERT OR REPLACE INTO lease_url (url, until) VALUES (?, ?)",
            &[Value::Integer(url_number(&request.page.purge_name())), timestamp(until)],
        )?;
        Ok(())
    }

    /// Gives a lease for a variant; returns its fencing number and stamp. Any older lease of it is
    /// void from now.
    pub(super) fn grant(&mut self, variant: &KeyDigest) -> Result<(u64, Epoch), SqlError> {
        self.state.fence += 1;
        let (fence, stamp) = (self.state.fence, self.state.seen);
        self.sql.exec(
            "INSERT INTO lease (variant, fence, stamp, until, again) VALUES (?, ?, ?, ?, 0)
                ON CONFLICT (variant) DO UPDATE SET fence = excluded.fence, stamp = excluded.stamp,
                    until = excluded.until, again = 1",
            &[
                text(variant.as_str()),
                number(fence),
                epoch(stamp),
                timestamp(self.now.plus(self.config.lease)),
            ],
        )?;
        Ok((fence, stamp))
    }

    /// Ends a lease, if its holder asks (`release_fence`). The row stays a while: the page was
    /// asked for.
    pub(super) fn release(&mut self, variant: &KeyDigest, fence: u64) -> Result<(), ShardError> {
        let ended = self.sql.exec(
            "UPDATE lease SET until = min(until, ?) WHERE variant = ? AND fence = ?
                RETURNING fence",
            &[timestamp(self.now), text(variant.as_str()), number(fence)],
        )?;
        if !ended.is_empty() {
            self.wake_warm(fence)?;
        }
        Ok(())
    }

    /// Makes a lease last anew from now, if it is still its holder's.
    pub(super) fn renew(&self, variant: &KeyDigest, fence: u64) -> Result<(), ShardError> {
        self.sql.exec(
            "UPDATE lease SET until = ? WHERE variant = ? AND fence = ? AND until > ?",
            &[
                timestamp(self.now.plus(self.config.lease)),
                text(variant.as_str()),
                number(fence),
                timestamp(self.now),
            ],
        )?;
        Ok(())
    }

    fn ticket(
        &self,
        variant: &KeyDigest,
        colo: &str,
        fence: u64,
    ) -> Result<Option<Timestamp>, SqlError> {
        let rows = self.sql.exec(
            "SELECT until FROM ticket WHERE variant = ? AND colo = ? AND fence = ?",
            &[text(variant.as_str()), text(colo), number(fence)],
        )?;
        rows.first().map(|row| Row(row).timestamp(0)).transpose()
    }

    fn give_ticket(&self, variant: &KeyDigest, colo: &str, fence: u64) -> Result<(), SqlError> {
        self.sql.exec(
            "INSERT OR REPLACE INTO ticket (variant, colo, fence, until) VALUES (?, ?, ?, ?)",
            &[
                text(variant.as_str()),
                text(colo),
                number(fence),
                timestamp(self.now.plus(self.config.lease)),
            ],
        )?;
        Ok(())
    }
}

/// All names that count, if the selection lacks some of those known. A selection with more comes
/// from a requester that saw a later response than this shard: it counts.
fn missing(known: &[String], selection: &Selection) -> Option<Vec<String>> {
    let has = |name: &String| selection.0.iter().any(|(selected, _)| selected == name);
    if known.iter().all(has) {
        return None;
    }
    Some(union(known, selection))
}

/// The names of both, sorted.
pub(super) fn union(known: &[String], selection: &Selection) -> Vec<String> {
    let mut names: Vec<String> = known.to_vec();
    names.extend(selection.0.iter().map(|(name, _)| name.clone()));
    names.sort();
    names.dedup();
    names
}
