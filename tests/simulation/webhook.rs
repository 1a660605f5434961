//! The origin's webhooks: each change is posted until the journal has acknowledged it.

use std::rc::Rc;

use edge_isr::base::time::Millis;
use edge_isr::journal::{Append, Appended, CalledBy, JournalCall, JournalReply, Mode};

use crate::origin;
use crate::plan::{COLOS, Naming};
use crate::sched::sleep;
use crate::watch::{Need, Property};
use crate::world::{Ack, World};

/// Posts a change; again until it is acknowledged, and perhaps once more.
pub(crate) async fn notify(
    world: &Rc<World>,
    shows: Vec<(usize, u32)>,
    naming: Naming,
    mode: Mode,
    (delay, deliveries): (u64, u32),
) {
    let id = format!("msg-{}", world.sched.next());
    let items: Vec<usize> = shows.iter().map(|(item, _)| *item).collect();
    let targets = origin::targets(&items, naming, world.pages());
    world.say(|| format!("data is {} now, posted by {id}", origin::words(&shows)));
    world.stands_for.borrow_mut().insert(id.clone(), shows.clone());
    let lags = world.plan.lag > 0;
    let append = Append {
        id: id.clone(),
        body_digest: "digest".to_owned(),
        targets: targets.clone(),
        mode,
        warm: true,
        reinvalidate_after: Millis(if lags { world.plan.lag + 200 } else { 0 }),
        reason: String::new(),
        uncounted: false,
        unsafe_method: false,
        by: CalledBy::default(),
    };
    sleep(&world.sched, delay + world.sched.below(300)).await;
    let (mut first, mut left) = (None, deliveries);
    while left > 0 {
        let colo = world.sched.below(COLOS as u64) as usize;
        let reply = world.journal(Some(colo), JournalCall::Append(append.clone())).await;
        let epoch = match reply {
            Ok(JournalReply::Appended(
                Appended::New { epoch, .. } | Appended::Repeated { epoch },
            )) => epoch.0,
            Ok(other) => {
                return world.violate(Property::Objects, format!("{id}: {other:?}"));
            }
            Err(_) => {
                sleep(&world.sched, 400).await;
                continue;
            }
        };
        left -= 1;
        let mut watch = world.watch.borrow_mut();
        if first.is_some_and(|first| first != epoch) && !watch.restored {
            watch.violate(Property::Receipts, format!("{id}: epochs {first:?} and {epoch}"));
        }
        if first.is_some() {
            continue;
        }
        first = Some(epoch);
        world.say(|| format!("{id} is acknowledged: epoch {epoch} {mode:?} {targets:?}"));
        world.hard.set(world.hard.get() || mode == Mode::Hard);
        let at = world.sched.now();
        let (named, named_targets) = (shows.clone(), targets.clone());
        let ack = Ack { id: id.clone(), epoch, shows: named, targets: named_targets, mode, at };
        world.acks.borrow_mut().push(ack);
        let given = |c: &&crate::watch::Committed| !c.lost && c.shows == shows;
        let lost = lags && !watch.committed.iter().any(|c| given(&c));
        // What a restore took before its answer came is lost with it.
        let lost = lost || watch.committed.iter().any(|c| c.epoch == epoch && c.lost && !lags);
        for (item, version) in &shows {
            let at = world.sched.now();
            let (item, version, page) = (*item, *version, None);
            watch.needs.push(Need { item, version, mode, at, epoch, lost, page });
        }
    }
}
