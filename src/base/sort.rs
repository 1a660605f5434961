//! Sorting in little code.
//!
//! The standard library's sorts are fast and large: each type that is sorted has its own copy, and
//! together they were a twentieth of the worker. Lists here are short; all of them share this one:
//! a heap sort of positions, stable because equal elements are compared by position, then swaps
//! along its cycles. O(n log n) whatever the input.

use std::cmp::Ordering;

/// Sorts a list; equal elements keep their order.
pub fn sort<T: Ord>(list: &mut [T]) {
    sort_by(list, T::cmp);
}

/// Sorts a list by a comparison; equal elements keep their order.
pub fn sort_by<T>(list: &mut [T], mut order: impl FnMut(&T, &T) -> Ordering) {
    let mut positions = sorted(list.len(), &mut |a, b| match (list.get(a), list.get(b)) {
        (Some(a), Some(b)) => order(a, b),
        (Some(_) | None, Some(_) | None) => Ordering::Equal,
    });
    arrange(&mut positions, &mut |a, b| list.swap(a, b));
}

/// The positions `0..length` in the order of what stands there.
fn sorted(length: usize, order: &mut dyn FnMut(usize, usize) -> Ordering) -> Vec<usize> {
    let mut heap: Vec<usize> = (0..length).collect();
    let mut before = |a: usize, b: usize| order(a, b).then(a.cmp(&b)) == Ordering::Less;
    for root in (0..length / 2).rev() {
        sift(&mut heap, root, &mut before);
    }
    for end in (1..length).rev() {
        heap.swap(0, end);
        sift(heap.get_mut(..end).unwrap_or_default(), 0, &mut before);
    }
    heap
}

/// Lets what stands at the root of a heap sink to its place; the greatest stands on top.
fn sift(heap: &mut [usize], root: usize, before: &mut dyn FnMut(usize, usize) -> bool) {
    let mut root = root;
    loop {
        let left = 2 * root + 1;
        let Some(&at_left) = heap.get(left) else { return };
        let child = match heap.get(left + 1) {
            Some(&at_right) if before(at_left, at_right) => left + 1,
            Some(_) | None => left,
        };
        let sinks = match (heap.get(root), heap.get(child)) {
            (Some(&parent), Some(&child)) => before(parent, child),
            (Some(_) | None, Some(_) | None) => false,
        };
        if !sinks {
            return;
        }
        heap.swap(root, child);
        root = child;
    }
}

/// Brings what stands at `positions[n]` to `n`, by swaps.
fn arrange(positions: &mut [usize], swap: &mut dyn FnMut(usize, usize)) {
    for start in 0..positions.len() {
        let mut at = start;
        // Round the cycle that begins here; what is in its place stands for itself from then on.
        while let Some(from) = positions.get_mut(at).map(|p| std::mem::replace(p, at))
            && from != start
        {
            swap(at, from);
            at = from;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{sort, sort_by};

    proptest! {
        #[test]
        fn as_the_standard_library_sorts(list in prop::collection::vec((0u8..20, any::<u16>()), 0..200)) {
            let (mut ours, mut theirs) = (list.clone(), list.clone());
            sort(&mut ours);
            theirs.sort();
            prop_assert_eq!(&ours, &theirs);
            // By a part alone, equal ones keep their order.
            let (mut ours, mut theirs) = (list.clone(), list);
            sort_by(&mut ours, |a, b| a.0.cmp(&b.0));
            theirs.sort_by_key(|a| a.0);
            prop_assert_eq!(ours, theirs);
        }
    }
}
