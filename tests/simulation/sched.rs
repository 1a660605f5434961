//! One thread, virtual time: tasks with owners, timers, and a seeded choice of who goes on.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use fastrand::Rng;

/// The world's first moment.
pub(crate) const DAWN: i64 = 1_800_000_000_000;

/// Whose task it is: what ends when its owner does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The world's own: visitors, webhooks, faults.
    World,
    /// One request of an isolate, its background tasks included.
    Request {
        /// Which isolate.
        isolate: usize,
        /// Which request.
        request: u64,
    },
    /// A Durable Object.
    Object(usize),
}

type Task = Pin<Box<dyn Future<Output = ()>>>;
/// By number: whose it is, what wakes it, and itself unless it runs.
type Tasks = BTreeMap<u64, (Owner, Waker, Option<Task>)>;

struct Wakes(u64, Arc<Mutex<Vec<u64>>>);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.1.lock().unwrap().push(self.0);
    }
}

/// The scheduler.
pub(crate) struct Sched {
    now: Cell<i64>,
    sequence: Cell<u64>,
    timers: RefCell<BTreeMap<(i64, u64), Waker>>,
    tasks: RefCell<Tasks>,
    ready: Arc<Mutex<Vec<u64>>>,
    /// Tasks that are never polled again and never dropped, as workerd leaves them.
    limbo: RefCell<Vec<Task>>,
    rng: RefCell<Rng>,
}

impl Sched {
    pub(crate) fn new(rng: Rng) -> Self {
        Self {
            now: Cell::new(DAWN),
            sequence: Cell::new(0),
            timers: RefCell::default(),
            tasks: RefCell::default(),
            ready: Arc::default(),
            limbo: RefCell::default(),
            rng: RefCell::new(rng),
        }
    }

    pub(crate) fn now(&self) -> i64 {
        self.now.get()
    }

    /// A number that was never given before.
    pub(crate) fn next(&self) -> u64 {
        self.sequence.set(self.sequence.get() + 1);
        self.sequence.get()
    }

    /// A number from 0 up to and without `end`.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.rng.borrow_mut().u64(0..end.max(1))
    }

    pub(crate) fn chance(&self, probability: f64) -> bool {
        probability > 0.0 && self.rng.borrow_mut().f64() < probability
    }

    pub(crate) fn spawn(&self, owner: Owner, task: impl Future<Output = ()> + 'static) {
        let id = self.next();
        let waker = Waker::from(Arc::new(Wakes(id, Arc::clone(&self.ready))));
        self.tasks.borrow_mut().insert(id, (owner, waker, Some(Box::pin(task))));
        self.ready.lock().unwrap().push(id);
    }

    /// Ends an owner's tasks: dropped, or left in limbo.
    pub(crate) fn end(&self, ends: impl Fn(&Owner) -> bool, limbo: bool) {
        let mut gone = Vec::new();
        self.tasks.borrow_mut().retain(|_, (owner, _, task)| {
            if ends(owner) {
                gone.extend(task.take());
                false
            } else {
                true
            }
        });
        if limbo {
            self.limbo.borrow_mut().extend(gone);
        }
    }

    /// A task that can go on, any of them; time moves when there is none. None at `until`.
    pub(crate) fn pick(&self, until: i64) -> Option<(u64, Owner)> {
        loop {
            {
                let mut ready = self.ready.lock().unwrap();
                while !ready.is_empty() {
                    let at = self.below(ready.len() as u64) as usize;
                    let id = ready.swap_remove(at);
                    if let Some((owner, _, Some(_))) = self.tasks.borrow().get(&id) {
                        return Some((id, *owner));
                    }
                }
            }
            let first = self.timers.borrow().keys().next().copied()?;
            if first.0 > until {
                return None;
            }
            self.now.set(self.now.get().max(first.0));
            let waker = self.timers.borrow_mut().remove(&first);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    pub(crate) fn poll(&self, id: u64) {
        let taken = self
            .tasks
            .borrow_mut()
            .get_mut(&id)
            .and_then(|(_, waker, task)| Some((waker.clone(), task.take()?)));
        let Some((waker, mut task)) = taken else { return };
        let pending = task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending();
        let mut tasks = self.tasks.borrow_mut();
        if pending {
            if let Some((_, _, slot)) = tasks.get_mut(&id) {
                *slot = Some(task);
            } else {
                // Its owner ended while it ran: it ended with it.
                drop(tasks);
                drop(task);
            }
        } else {
            tasks.remove(&id);
        }
    }

    pub(crate) fn set_now(&self, now: i64) {
        self.now.set(self.now.get().max(now));
    }

    /// Drops everything: tasks hold what holds them.
    pub(crate) fn clear(&self) {
        let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        drop(tasks);
        let limbo = std::mem::take(&mut *self.limbo.borrow_mut());
        drop(limbo);
        self.timers.borrow_mut().clear();
    }
}

/// Waits until a point in time.
pub(crate) struct Sleep {
    sched: Rc<Sched>,
    at: i64,
    key: Option<(i64, u64)>,
}

pub(crate) fn sleep(sched: &Rc<Sched>, millis: u64) -> Sleep {
    Sleep { sched: Rc::clone(sched), at: sched.now() + millis as i64, key: None }
}

impl Future for Sleep {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.sched.now() >= self.at {
            return Poll::Ready(());
        }
        let key = self.key.unwrap_or((self.at, self.sched.next()));
        self.key = Some(key);
        self.sched.timers.borrow_mut().insert(key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            // Not while the scheduler itself holds the list.
            if let Ok(mut timers) = self.sched.timers.try_borrow_mut() {
                timers.remove(&key);
            }
        }
    }
}

enum Slot<T> {
    Waiting(Option<Waker>),
    Sent(Option<T>),
    Closed,
}

/// What another task will say; none if it ended without a word.
pub(crate) struct Receiver<T>(Rc<RefCell<Slot<T>>>);
/// The other end.
pub(crate) struct Sender<T>(Rc<RefCell<Slot<T>>>);

pub(crate) fn oneshot<T>() -> (Sender<T>, Receiver<T>) {
    let held = Rc::new(RefCell::new(Slot::Waiting(None)));
    (Sender(Rc::clone(&held)), Receiver(held))
}

impl<T> Sender<T> {
    pub(crate) fn send(self, value: T) {
        let before = std::mem::replace(&mut *self.0.borrow_mut(), Slot::Sent(Some(value)));
        if let Slot::Waiting(Some(waker)) = before {
            waker.wake();
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut held = self.0.borrow_mut();
        if let Slot::Waiting(waker) = &mut *held {
            let waker = waker.take();
            *held = Slot::Closed;
            drop(held);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = Option<T>;
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        match &mut *self.0.borrow_mut() {
            Slot::Waiting(waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
            Slot::Sent(value) => Poll::Ready(value.take()),
            Slot::Closed => Poll::Ready(None),
        }
    }
}
