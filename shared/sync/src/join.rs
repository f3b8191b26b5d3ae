//! Runs several futures concurrently, within one task and without a runtime.
//!
//! Why not `futures`: its `buffered` polls a future only after its waker was called. The simulator polls the whole task instead,
//! so that it can stop a handler at any await point, and calls no waker.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// How many futures run at the same time.
const MAX_CONCURRENT: usize = 16;

/// Runs the futures, at most 16 at the same time, and returns their results in order. Whenever the task is polled, every running
/// future is polled, which costs little for so few of them.
pub async fn join<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut waiting = futures.into_iter();
    let mut results: Vec<Option<F::Output>> = Vec::new();
    let mut running: Vec<(usize, Pin<Box<F>>)> = Vec::new();
    poll_fn(move |context| {
        loop {
            while running.len() < MAX_CONCURRENT
                && let Some(next) = waiting.next()
            {
                running.push((results.len(), Box::pin(next)));
                results.push(None);
            }
            let before = running.len();
            running.retain_mut(|(index, future)| match future.as_mut().poll(context) {
                Poll::Ready(value) => {
                    results[*index] = Some(value);
                    false
                }
                Poll::Pending => true,
            });
            if running.is_empty() && before == 0 {
                return Poll::Ready(results.drain(..).flatten().collect());
            }
            if running.len() == before {
                return Poll::Pending;
            }
        }
    })
    .await
}
