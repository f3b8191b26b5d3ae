//! One process at a time on the simulator's ports, which ends where the test says.

use std::cell::{Cell, RefMut};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::ports::{Shared, SimPorts};
use crate::memory::{Queues, Tables};

/// The simulator's ports without its scheduler and without faults.
pub struct Stepper {
    ports: SimPorts,
}

impl Stepper {
    /// Empty ports at this time, in milliseconds since the epoch.
    pub fn new(seed: u64, now_ms: i64) -> Stepper {
        let shared = Rc::new(Shared::new(seed, now_ms));
        Stepper { ports: SimPorts { shared, wake: Rc::new(Cell::new(i64::MAX)), skew: 0 } }
    }

    /// The ports, for the process.
    pub fn ports(&self) -> &SimPorts {
        &self.ports
    }

    /// The tables, for the test.
    pub fn tables(&self) -> RefMut<'_, Tables> {
        self.ports.shared.tables.borrow_mut()
    }

    /// The queues, for the test.
    pub fn queues(&self) -> RefMut<'_, Queues> {
        self.ports.shared.queues.borrow_mut()
    }

    /// The time.
    pub fn now_ms(&self) -> i64 {
        self.ports.shared.now.get()
    }

    /// Lets time pass.
    pub fn pass(&self, ms: i64) {
        self.ports.shared.now.set(self.now_ms() + ms);
    }

    /// Port calls since the beginning.
    pub fn calls(&self) -> u64 {
        self.ports.shared.calls.get()
    }

    /// Runs a process to its end. With `kill_after`, the process is killed right after the effect of that port call, counted from
    /// 1. The result is `None` only then.
    pub fn run<T>(&self, process: impl Future<Output = T>, kill_after: Option<u64>) -> Option<T> {
        let begin = self.calls();
        let mut process = pin!(process);
        loop {
            self.ports.wake.set(i64::MAX);
            if let Poll::Ready(result) = process.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return Some(result);
            }
            if kill_after.is_some_and(|call| self.calls() - begin >= call) {
                return None;
            }
            self.ports.shared.now.set(self.ports.wake.get().max(self.now_ms() + 1));
        }
    }
}
