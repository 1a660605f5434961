//! The engine's parts, from what everything needs to what nothing needs. Each has in its fields the
//! parts that it may call, and its methods in the room that it is named after.
//!
//! A part is a handle over one shared context: cloning it, for a task of its own, copies a few
//! counted references.

use crate::engine::context::Context;
use crate::engine::port::Platform;

/// What is stored near: L0, and L1 (`stores.rs`).
pub struct Stores<P: Platform> {
    pub(super) context: Context<P>,
}

/// Invalidations: into the journal, and what this isolate knows of them (`invalidate/`).
pub struct Invalidator<P: Platform> {
    pub(super) context: Context<P>,
}

/// Fetches that are stored: who may, from where, and what becomes of them (`fill/`).
pub struct Filler<P: Platform> {
    pub(super) context: Context<P>,
    pub(super) stores: Stores<P>,
    pub(super) invalidator: Invalidator<P>,
}

/// What is stored, compared with what the origin would say (`audit/`).
pub struct Auditor<P: Platform> {
    pub(super) context: Context<P>,
    pub(super) stores: Stores<P>,
    pub(super) invalidator: Invalidator<P>,
    pub(super) filler: Filler<P>,
}

/// Answers to visitors (`serve/`).
pub struct Server<P: Platform> {
    pub(super) context: Context<P>,
    pub(super) stores: Stores<P>,
    pub(super) invalidator: Invalidator<P>,
    pub(super) filler: Filler<P>,
    pub(super) auditor: Auditor<P>,
}

/// A shard's warm queue at work (`warm/`).
pub struct Warmer<P: Platform> {
    pub(super) context: Context<P>,
    pub(super) stores: Stores<P>,
    pub(super) invalidator: Invalidator<P>,
}

/// The control API and other caches' purge APIs at work (`operate/`).
pub struct Operator<P: Platform> {
    pub(super) context: Context<P>,
    pub(super) invalidator: Invalidator<P>,
    pub(super) server: Server<P>,
    pub(super) warmer: Warmer<P>,
}

impl<P: Platform> Stores<P> {
    /// Over a context.
    #[must_use]
    pub fn new(context: &Context<P>) -> Self {
        Self { context: context.clone() }
    }
}

impl<P: Platform> Clone for Invalidator<P> {
    fn clone(&self) -> Self {
        Self::new(&self.context)
    }
}

impl<P: Platform> Invalidator<P> {
    /// Over a context.
    #[must_use]
    pub fn new(context: &Context<P>) -> Self {
        Self { context: context.clone() }
    }
}

impl<P: Platform> Clone for Filler<P> {
    fn clone(&self) -> Self {
        Self::new(&self.context)
    }
}

impl<P: Platform> Filler<P> {
    /// Over a context.
    #[must_use]
    pub fn new(context: &Context<P>) -> Self {
        Self {
            context: context.clone(),
            stores: Stores::new(context),
            invalidator: Invalidator::new(context),
        }
    }
}

impl<P: Platform> Clone for Auditor<P> {
    fn clone(&self) -> Self {
        Self::new(&self.context)
    }
}

impl<P: Platform> Auditor<P> {
    /// Over a context.
    #[must_use]
    pub fn new(context: &Context<P>) -> Self {
        Self {
            context: context.clone(),
            stores: Stores::new(context),
            invalidator: Invalidator::new(context),
            filler: Filler::new(context),
        }
    }
}

impl<P: Platform> Server<P> {
    /// Over a context.
    #[must_use]
    pub fn new(context: &Context<P>) -> Self {
        Self {
            context: context.clone(),
            stores: Stores::new(context),
            invalidator: Invalidator::new(context),
            filler: Filler::new(context),
            auditor: Auditor::new(context),
        }
    }
}

impl<P: Platform> Warmer<P> {
    /// Over a context.
    #[must_use]
    pub fn new(context: &Context<P>) -> Self {
        Self {
            context: context.clone(),
            stores: Stores::new(context),
            invalidator: Invalidator::new(context),
        }
    }
}

impl<P: Platform> Clone for Operator<P> {
    fn clone(&self) -> Self {
        Self::new(&self.context)
    }
}

impl<P: Platform> Operator<P> {
    /// Over a context.
    #[must_use]
    pub fn new(context: &Context<P>) -> Self {
        Self {
            context: context.clone(),
            invalidator: Invalidator::new(context),
            server: Server::new(context),
            warmer: Warmer::new(context),
        }
    }
}
