use std::time::Duration;

use serde_json::json;

use super::*;
use crate::hub::tests::{device, hub, hub_with_module};
use crate::session::{SessionEvent, SessionEvents};

fn call() -> MethodCall {
    MethodCall::new("reboot", json!({ "now": true })).unwrap()
}

async fn request(events: &mut SessionEvents) -> crate::method::MethodRequest {
    match events.next().await {
        SessionEvent::Method(request) => request,
        other => panic!("no method but {other:?}"),
    }
}

#[tokio::test]
async fn a_method_reaches_its_target_and_the_answer_the_caller() {
    let (hub, owner) = hub_with_module().await;
    let (session, mut events) = hub.connect(&owner).await.unwrap();
    session.accept_methods(true);
    let target = async {
        let request = request(&mut events).await;
        assert_eq!(
            (&*request.name, &request.payload),
            ("reboot", &json!({ "now": true }))
        );
        request.respond(404, json!("no")).unwrap();
    };
    let (result, ()) = tokio::join!(hub.invoke_method(&owner, call()), target);
    assert_eq!(
        result.unwrap().to_json(),
        json!({ "status": 404, "payload": "no" })
    );
}

#[tokio::test]
async fn a_target_that_is_missing_offline_or_takes_no_methods_is_told_apart() {
    let err = hub().invoke_method(&device("d"), call()).await.unwrap_err();
    assert!(matches!(err, HubError::NotFound { .. }), "{err}");
    let (hub, owner) = hub_with_module().await;
    let not_online = |err: HubError| assert!(matches!(err, HubError::NotOnline { .. }), "{err}");
    not_online(hub.invoke_method(&owner, call()).await.unwrap_err());
    let (session, events) = hub.connect(&owner).await.unwrap();
    not_online(hub.invoke_method(&owner, call()).await.unwrap_err());
    session.accept_methods(true);
    drop(events);
    not_online(hub.invoke_method(&owner, call()).await.unwrap_err());
}

#[tokio::test(start_paused = true)]
async fn a_caller_may_wait_for_its_target() {
    let (hub, owner) = hub_with_module().await;
    let patient = call()
        .with_timeouts(Duration::from_secs(30), Duration::from_secs(60))
        .unwrap();
    let waiting = tokio::spawn({
        let (hub, owner, patient) = (hub.clone(), owner.clone(), patient.clone());
        async move { hub.invoke_method(&owner, patient).await }
    });
    tokio::time::advance(Duration::from_secs(20)).await;
    let (session, mut events) = hub.connect(&owner).await.unwrap();
    session.accept_methods(true);
    request(&mut events)
        .await
        .respond(200, json!(null))
        .unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().status, 200);
    drop(events);
    let err = hub.invoke_method(&owner, patient).await.unwrap_err();
    assert!(
        matches!(err, HubError::NotOnline { waited, .. } if waited.as_secs() == 60),
        "{err}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_target_that_does_not_answer_in_time_is_given_up() {
    let (hub, owner) = hub_with_module().await;
    let (session, mut events) = hub.connect(&owner).await.unwrap();
    session.accept_methods(true);
    let call = hub.invoke_method(&owner, call());
    let (result, request) = tokio::join!(call, request(&mut events));
    let err = result.unwrap_err();
    assert!(
        matches!(err, HubError::NoAnswer { timeout, .. } if timeout.as_secs() == 30),
        "{err}"
    );
    let late = request.respond(200, json!(null)).unwrap_err();
    assert_eq!(late, crate::method::RespondError::Late);
}

#[tokio::test]
async fn a_request_that_is_thrown_away_or_answered_too_long_ends_the_call_at_once() {
    let (hub, owner) = hub_with_module().await;
    let (session, mut events) = hub.connect(&owner).await.unwrap();
    session.accept_methods(true);
    for answer_too_long in [false, true] {
        let target = async {
            let request = request(&mut events).await;
            if answer_too_long {
                let long = json!("x".repeat(crate::method::METHOD_PAYLOAD_MAX_BYTES));
                request.respond(200, long).unwrap_err();
            }
        };
        let (result, ()) = tokio::join!(hub.invoke_method(&owner, call()), target);
        assert!(
            matches!(result, Err(HubError::Unanswered { .. })),
            "{result:?}"
        );
    }
}

#[tokio::test]
async fn calls_under_way_are_limited() {
    let (hub, owner) = hub_with_module().await;
    let (session, mut events) = hub.connect(&owner).await.unwrap();
    session.accept_methods(true);
    let spawn = || {
        let (hub, owner) = (hub.clone(), owner.clone());
        tokio::spawn(async move { hub.invoke_method(&owner, call()).await })
    };
    let calls: Vec<_> = (0..CALLS_PER_TARGET_MAX).map(|_| spawn()).collect();
    let mut requests = Vec::new();
    for _ in 0..CALLS_PER_TARGET_MAX {
        requests.push(request(&mut events).await);
    }
    let err = hub.invoke_method(&owner, call()).await.unwrap_err();
    assert!(matches!(err, HubError::TooManyCalls { .. }), "{err}");
    for request in requests {
        request.respond(200, json!(null)).unwrap();
    }
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let again = spawn();
    request(&mut events)
        .await
        .respond(200, json!(null))
        .unwrap();
    again.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_target_that_keeps_its_requests_for_ever_is_called_again_once_the_callers_have_given_up()
{
    let (hub, owner) = hub_with_module().await;
    let (session, mut events) = hub.connect(&owner).await.unwrap();
    session.accept_methods(true);
    let mut kept = Vec::new();
    for _ in 0..=CALLS_PER_TARGET_MAX {
        let (result, request) =
            tokio::join!(hub.invoke_method(&owner, call()), request(&mut events));
        assert!(
            matches!(result, Err(HubError::NoAnswer { .. })),
            "{result:?}"
        );
        assert!(request.is_given_up());
        kept.push(request);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_caller_has_given_up_does_not_reach_the_target_any_more() {
    let (hub, owner) = hub_with_module().await;
    let (session, mut events) = hub.connect(&owner).await.unwrap();
    session.accept_methods(true);
    hub.invoke_method(&owner, call()).await.unwrap_err();
    let fresh = MethodCall::new("fresh", json!(null)).unwrap();
    let (result, name) = tokio::join!(hub.invoke_method(&owner, fresh), async {
        let request = request(&mut events).await;
        let name = request.name.clone();
        request.respond(200, json!(null)).unwrap();
        name
    });
    assert_eq!((result.unwrap().status, &*name), (200, "fresh"));
}
