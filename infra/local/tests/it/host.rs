//! Functions: invocations, deadlines, kills, batches, URLs, schedules.

use std::time::{Duration, Instant};

use local::{Event, InvokeError, Schedules, Stack, StackError, StartError};
use serde_json::{Value, json};

use crate::support::{Seen, call, echo, http, options, text, until};

async fn invoke(stack: &Stack, payload: Value) -> Result<Value, Value> {
    match stack.invoke("echo", &payload).await {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap()),
        Err(StackError::Invoke(InvokeError::Failed { payload })) => Err(serde_json::from_slice(&payload).unwrap()),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_gets_what_the_template_gives_it() {
    let mut options = options();
    options.parameters.insert("Greeting".into(), "good morning".into());
    let stack = Stack::start(options).await.unwrap();
    let before = jiff::Timestamp::now().as_millisecond();
    let answer = invoke(&stack, echo("a")).await.unwrap();
    assert_eq!(answer["echo"], "a");
    assert_eq!(answer["greeting"], "good morning");
    assert_eq!(answer["memory"], "192");
    assert_eq!(answer["arn"], "arn:aws:lambda:us-east-1:000000000000:function:local-echo");
    assert_eq!(answer["queue"], stack.queue_url("work").unwrap());
    let deadline: i64 = answer["deadline"].as_str().unwrap().parse().unwrap();
    assert!((1000..2000).contains(&(deadline - before)), "one second from the invocation on");
    assert_eq!(stack.outputs()["Url"], stack.urls()["Echo"]);
    assert_eq!(stack.ignored()["Role"], "AWS::IAM::Role");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn overrides_replace_only_what_a_function_has() {
    let mut options = options();
    options.environment.insert("GREETING".into(), "hi".into());
    options.environment.insert("ECHO_BROKEN".into(), "1".into());
    let stack = Stack::start(options).await.unwrap();
    // Echo would not start if it had been given the variable that only Broken has.
    assert_eq!(invoke(&stack, echo("a")).await.unwrap()["greeting"], "hi");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_exits_and_timeouts_are_distinguished_and_survived() {
    let stack = Stack::start(options()).await.unwrap();
    assert_eq!(invoke(&stack, json!({ "fail": "boom" })).await.unwrap_err()["errorMessage"], "boom");
    let exited = invoke(&stack, json!({ "exit": 3 })).await.unwrap_err();
    assert_eq!(exited["errorType"], "Runtime.ExitError");
    assert!(exited["errorMessage"].as_str().unwrap().ends_with("exit status 3"), "{exited}");
    let start = Instant::now();
    let late = invoke(&stack, json!({ "sleep_ms": 30_000 })).await.unwrap_err();
    assert!(late["errorMessage"].as_str().unwrap().contains("Task timed out after 1.00 seconds"), "{late}");
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!(invoke(&stack, echo("b")).await.unwrap()["echo"], "b");
    let stats = stack.stats()["Echo"];
    assert_eq!((stats.invocations, stats.errors, stats.timeouts), (4, 3, 1));
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_fails_its_invocation_and_is_replaced_at_once() {
    let mut options = options();
    // A process started ahead could be there beside the one that the first call starts.
    options.warm = false;
    let stack = Stack::start(options).await.unwrap();
    let first = invoke(&stack, echo("a")).await.unwrap()["pid"].clone();
    let stack = std::sync::Arc::new(stack);
    let running = tokio::spawn({
        let stack = stack.clone();
        async move { invoke(&stack, json!({ "sleep_ms": 900 })).await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(stack.kill("echo").unwrap(), 1);
    let failed = running.await.unwrap().unwrap_err();
    assert!(failed["errorMessage"].as_str().unwrap().ends_with("signal: killed"), "{failed}");
    // Nobody invokes it, and still there is a process again.
    until("a new process", || stack.stats()["Echo"].starts == 2).await;
    let second = invoke(&stack, echo("b")).await.unwrap()["pid"].clone();
    assert_ne!(first, second);
    assert_eq!(stack.stats()["Echo"].deaths, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_in_its_init_is_tried_again_with_pauses() {
    let seen = Seen::default();
    let mut options = options();
    seen.watch(&mut options);
    let stack = Stack::start(options).await.unwrap();
    let answer = stack.invoke("Broken", &json!({})).await;
    assert!(matches!(answer, Err(StackError::Invoke(InvokeError::Failed { .. }))));
    tokio::time::sleep(Duration::from_millis(900)).await;
    let starts = stack.stats()["Broken"].starts;
    assert!((3..=8).contains(&starts), "{starts} starts in a second");
    let exited = |e: &Event| matches!(e, Event::Exited { status, .. } if status == "exit status 7");
    assert!(seen.count(exited) >= 2);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invocations_run_side_by_side_up_to_the_limit() {
    let mut options = options();
    options.max_instances = 2;
    let stack = std::sync::Arc::new(Stack::start(options).await.unwrap());
    let start = Instant::now();
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let stack = stack.clone();
            tokio::spawn(async move { invoke(&stack, json!({ "sleep_ms": 300 })).await.unwrap()["pid"].clone() })
        })
        .collect();
    let mut pids = std::collections::BTreeSet::new();
    for running in calls {
        pids.insert(running.await.unwrap().to_string());
    }
    assert_eq!(pids.len(), 2);
    assert!(start.elapsed() >= Duration::from_millis(590), "four calls of 300 ms on two processes");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_reported_messages_of_a_batch_come_back() {
    let seen = Seen::default();
    let mut options = options();
    seen.watch(&mut options);
    let stack = Stack::start(options).await.unwrap();
    stack.set_mapping("work", false).unwrap();
    for n in 0..5 {
        stack.send("work", text(&json!({ "n": n, "poison": n == 2 }))).unwrap();
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(stack.counts("work").unwrap().visible, 5, "a mapping that is off takes nothing");
    stack.set_mapping("work", true).unwrap();
    until("the poison in the dead-letter queue", || stack.counts("work-dlq").unwrap().visible == 1).await;
    let parked = &stack.peek("work-dlq").unwrap()[0];
    assert!(parked.body.contains("\"n\":2"));
    assert_eq!(parked.source.as_deref(), Some("arn:aws:sqs:us-east-1:000000000000:local-work"));
    assert_eq!(stack.counts("work").unwrap().total(), 0);
    assert_eq!(stack.stats()["Echo"].errors, 0, "a reported message is not an error");
    assert_eq!(seen.lines("aws:sqs"), 2, "one event with all five, one with the one that came back");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_function_dies_comes_back_as_a_whole() {
    let stack = Stack::start(options()).await.unwrap();
    stack.set_mapping("work", false).unwrap();
    stack.send("work", text(&json!({ "n": 1 }))).unwrap();
    stack.send("work", text(&json!({ "exit": 1 }))).unwrap();
    stack.set_mapping("work", true).unwrap();
    until("both in the dead-letter queue", || stack.counts("work-dlq").unwrap().visible == 2).await;
    assert_eq!(stack.stats()["Echo"].errors, 2, "as often as maxReceiveCount says");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_url_uses_format_2() {
    let stack = Stack::start(options()).await.unwrap();
    let url = stack.urls()["Echo"].clone();
    let headers = [("content-type", "application/json"), ("X-Twice", "1"), ("x-twice", "2")];
    let answer = http(&url, "POST", "/hooks/form?a=1", &headers, b"{\"x\":1}".to_vec()).await;
    assert_eq!((answer.status, answer.header("x-echo"), answer.header("set-cookie")), (201, "yes", "a=b"));
    let event: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(event["version"], "2.0");
    assert_eq!(event["rawPath"], "/hooks/form");
    assert_eq!(event["rawQueryString"], "a=1");
    assert_eq!(event["headers"]["x-twice"], "1,2");
    assert_eq!(event["body"], "{\"x\":1}");
    assert_eq!(event["requestContext"]["http"]["method"], "POST");

    let failed = http(&url, "POST", "/", &[("content-type", "application/json")], b"{\"fail\":\"no\"}".to_vec()).await;
    assert_eq!(failed.status, 502);
    let large = http(&url, "POST", "/", &[], vec![b'x'; 6 * 1024 * 1024 + 1]).await;
    assert_eq!(large.status, 413);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_run_by_themselves_and_by_hand() {
    let seen = Seen::default();
    let mut options = options();
    seen.watch(&mut options);
    options.schedules = Schedules::Every(Duration::from_millis(100));
    let stack = Stack::start(options).await.unwrap();
    assert_eq!(stack.schedules().collect::<Vec<_>>(), [("local-echo", "Tick")]);
    until("two ticks", || seen.lines("{\"echo\":\"tick\"}") >= 2).await;
    let answer: Value = serde_json::from_slice(&stack.trigger("echo", "tick").await.unwrap()).unwrap();
    assert_eq!(answer["echo"], "tick");
    assert!(matches!(stack.trigger("echo", "tock").await, Err(StackError::Unknown(_))));
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invoke_and_events_reach_functions_through_the_endpoint() {
    let seen = Seen::default();
    let mut options = options();
    seen.watch(&mut options);
    let stack = Stack::start(options).await.unwrap();
    let path = "/2015-03-31/functions/local-echo/invocations";
    let answer = http(stack.endpoint(), "POST", path, &[], echo("x").to_string().into_bytes()).await;
    assert_eq!((answer.status, answer.header("x-amz-function-error")), (200, ""));
    let failed = http(stack.endpoint(), "POST", path, &[], b"{\"fail\":\"f\"}".to_vec()).await;
    assert_eq!((failed.status, failed.header("x-amz-function-error")), (200, "Unhandled"));
    let async_call =
        http(stack.endpoint(), "POST", path, &[("x-amz-invocation-type", "Event")], b"{\"fail\":\"again\"}".to_vec()).await;
    assert_eq!(async_call.status, 202);
    until("the one retry that the template allows", || seen.lines("again") == 2).await;
    until("the end of it", || seen.count(|e| matches!(e, Event::Note { text, .. } if text.contains("dropped after 2"))) == 1)
        .await;

    let entries = json!({ "Entries": [
        { "Source": "crm", "DetailType": "changed", "Detail": "{\"kind\":\"contact\"}" },
        { "Source": "crm", "DetailType": "changed", "Detail": "{\"kind\":\"deal\"}" },
    ] });
    let (status, answer, _) = call(&stack, "AWSEvents.PutEvents", entries).await;
    assert_eq!((status, &answer["FailedEntryCount"]), (200, &json!(0)));
    until("the matching event", || seen.lines("\"detail-type\":\"changed\"") == 1).await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_that_cannot_run_reports_why() {
    let mut missing = options();
    missing.functions_dir = "/nowhere".into();
    assert!(matches!(Stack::start(missing).await.err(), Some(StartError::NoBinary { .. })));
    let mut unknown = options();
    unknown.parameters.insert("Nope".into(), "x".into());
    assert!(matches!(Stack::start(unknown).await.err(), Some(StartError::Template(_))));
    let mut refused = options();
    refused.parameters.insert("Loud".into(), "perhaps".into());
    assert!(matches!(Stack::start(refused).await.err(), Some(StartError::Template(_))));
}
