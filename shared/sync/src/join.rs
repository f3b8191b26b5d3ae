//! Several futures at once, within one task and without a runtime.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// Futures that are under way together, at most.
pub const AT_ONCE: usize = 16;

/// Runs the futures, at most [`AT_ONCE`] together, and gives their results in order. Every future is polled whenever the task
/// is, which is cheap for so few of them.
pub async fn join<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut waiting = futures.into_iter();
    let mut results: Vec<Option<F::Output>> = Vec::new();
    let mut running: Vec<(usize, Pin<Box<F>>)> = Vec::new();
    poll_fn(move |context| {
        loop {
            while running.len() < AT_ONCE
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
            if running.is_empty() && results.iter().all(Option::is_some) && running.len() == before {
                return Poll::Ready(results.drain(..).flatten().collect());
            }
            if running.len() == before {
                return Poll::Pending;
            }
        }
    })
    .await
}
