//! What is true of every way to a hub.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::{Value, json};
use wasm_edge_daemon::upstream::{Interest, MethodAnswer, Session, SessionEvent, UpstreamError};
use wasm_edge_hub::error::HubError;
use wasm_edge_hub::hub::IfMatch;
use wasm_edge_hub::identity::{IdentitySpec, IdentityStatus};
use wasm_edge_hub::method::{MethodCall, MethodResult};
use wasm_edge_hub::telemetry::{StartAt, TelemetryEvent};
use wasm_edge_model::identity::TwinOwner;
use wasm_edge_model::message::{Message, SystemProperty};

use super::bed::{Bed, device, follow, module, object, owner, soon};

/// Each case, against both.
macro_rules! on_both {
    ($($case:ident),* $(,)?) => {
        mod in_process {
            use super::Bed;

            $(#[tokio::test]
            async fn $case() {
                super::$case(Bed::in_process().await).await;
            })*
        }

        mod on_the_wire {
            use super::Bed;

            $(#[tokio::test]
            async fn $case() {
                super::$case(Bed::on_the_wire().await).await;
            })*
        }
    };
}

on_both!(
    a_session_has_the_hubs_twin,
    what_is_reported_is_merged_in_a_new_version,
    a_report_against_the_rules_is_refused_and_the_session_goes_on,
    desired_changes_come_in_order_and_none_is_missed,
    a_method_is_answered_by_its_module,
    methods_are_answered_in_any_order,
    a_method_without_an_answer_ends_its_caller_only,
    methods_reach_only_who_takes_them,
    messages_are_taken_in_order_under_their_modules_identity,
    a_message_that_is_too_large_is_refused,
    a_newer_session_ends_the_one_before,
    a_session_ends_with_its_identity,
    a_device_that_is_disabled_is_refused,
    a_hub_that_is_gone_cannot_be_reached,
    a_session_that_is_let_go_of_is_over_for_the_hub,
    an_identity_is_provisioned_once,
);

fn is_unreachable<T>(result: Result<T, UpstreamError>) -> bool {
    matches!(result, Err(UpstreamError::Unreachable { .. }))
}

fn is_refused<T>(result: Result<T, UpstreamError>) -> bool {
    matches!(result, Err(UpstreamError::Refused { .. }))
}

async fn ended(session: &mut Session) {
    let end = async { while session.events.recv().await.is_some() {} };
    soon("the session's end", end).await;
    assert!(is_unreachable(session.calls.twin().await));
    let sent = session.calls.send(Arc::new(Message::default())).await;
    assert!(is_unreachable(sent));
}

async fn a_session_has_the_hubs_twin(bed: Bed) {
    let session = bed.session("m").await;
    let twin = session.calls.twin().await.unwrap();
    assert_eq!((twin.desired, twin.reported), Default::default());
    assert_eq!((twin.desired_version, twin.reported_version), (1, 1));
    bed.patch_desired("m", json!({ "a": { "b": [1, "ä"] } }))
        .await;
    let twin = session.calls.twin().await.unwrap();
    assert_eq!(twin.desired, object(json!({ "a": { "b": [1, "ä"] } })));
    assert_eq!((twin.desired_version, twin.reported_version), (2, 1));
}

async fn what_is_reported_is_merged_in_a_new_version(bed: Bed) {
    let session = bed.session("m").await;
    let report = async |patch| session.calls.report(object(patch)).await.unwrap();
    assert_eq!(report(json!({ "a": 1, "b": { "c": 2 } })).await, Some(2));
    assert_eq!(report(json!({ "a": null, "b": { "d": 3 } })).await, Some(3));
    let twin = session.calls.twin().await.unwrap();
    let expected = object(json!({ "b": { "c": 2, "d": 3 } }));
    assert_eq!((&twin.reported, twin.reported_version), (&expected, 3));
    let at_hub = bed.twin("m").await;
    assert_eq!(at_hub["properties"]["reported"]["b"]["d"], 3);
    assert_eq!(at_hub["properties"]["reported"]["$version"], 3);
}

async fn a_report_against_the_rules_is_refused_and_the_session_goes_on(bed: Bed) {
    let session = bed.session("m").await;
    let report = async |patch| session.calls.report(object(patch)).await;
    assert!(is_refused(report(json!({ "a b": 1 })).await));
    assert!(is_refused(report(json!({ "a": "x".repeat(5000) })).await));
    assert_eq!(report(json!({ "a": 1 })).await.unwrap(), Some(2));
}

async fn desired_changes_come_in_order_and_none_is_missed(bed: Bed) {
    let mut session = bed.session("m").await;
    let twin = session.calls.twin().await.unwrap();
    for number in 0..20 {
        let key = format!("k{}", number % 3);
        bed.patch_desired("m", json!({ key: number, "last": number }))
            .await;
    }
    bed.patch_desired("m", json!({ "k0": null })).await;
    let followed = follow(&mut session, twin.desired, twin.desired_version, 22);
    let expected = json!({ "k1": 19, "k2": 17, "last": 19 });
    assert_eq!(followed.await, object(expected));
}

/// Calls a method as a service does.
async fn call(bed: &Bed, name: &str, payload: Value) -> Result<MethodResult, HubError> {
    let times = (Duration::from_secs(10), Duration::ZERO);
    let call = MethodCall::new(name, payload)?.with_timeouts(times.0, times.1)?;
    bed.hub.invoke_method(&owner("m"), call).await
}

/// The next call that a session hears of.
async fn called(session: &mut Session) -> (String, String, impl FnOnce(u32, &str) + use<>) {
    loop {
        let event = soon("a call", session.events.recv()).await;
        if let Some(SessionEvent::Method {
            name,
            payload,
            respond,
        }) = event
        {
            let answer = move |status: u32, payload: &str| {
                let payload = payload.to_owned();
                // A caller that is gone is no fault.
                let _ = respond.send(MethodAnswer { status, payload });
            };
            return (name, payload, answer);
        }
    }
}

async fn a_method_is_answered_by_its_module(bed: Bed) {
    let mut session = bed.session_with_methods("m").await;
    let name = "re boot/+#%41ä";
    let payload = json!({ "a": "ä", "b": [null] });
    let calling = call(&bed, name, payload.clone());
    let answering = async {
        let (name, payload, answer) = called(&mut session).await;
        answer(207, r#"{"done":true}"#);
        (name, serde_json::from_str::<Value>(&payload).unwrap())
    };
    let (result, heard) = tokio::join!(calling, answering);
    assert_eq!(heard, (name.to_owned(), payload));
    let result = result.unwrap();
    assert_eq!(
        (result.status, result.payload),
        (207, json!({ "done": true }))
    );
}

async fn methods_are_answered_in_any_order(bed: Bed) {
    let mut session = bed.session_with_methods("m").await;
    let calling = join_all((0..8).map(|number| call(&bed, "m", json!(number))));
    let answering = async {
        let mut calls = Vec::new();
        for _ in 0..8 {
            let (_, payload, answer) = called(&mut session).await;
            calls.push((payload, answer));
        }
        for (payload, answer) in calls.into_iter().rev() {
            answer(200, &payload);
        }
    };
    let (results, ()) = tokio::join!(calling, answering);
    for (number, result) in results.into_iter().enumerate() {
        assert_eq!(result.unwrap().payload, json!(number));
    }
}

async fn a_method_without_an_answer_ends_its_caller_only(bed: Bed) {
    let mut session = bed.session_with_methods("m").await;
    let times = (Duration::from_secs(5), Duration::ZERO);
    let thrown_away = MethodCall::new("m", json!(1)).unwrap();
    let thrown_away = thrown_away.with_timeouts(times.0, times.1).unwrap();
    let to_m = owner("m");
    let calling = bed.hub.invoke_method(&to_m, thrown_away);
    let answering = async { drop(called(&mut session).await) };
    let (result, ()) = tokio::join!(calling, answering);
    let is_known = matches!(
        result,
        Err(HubError::NoAnswer { .. } | HubError::Unanswered { .. })
    );
    assert!(is_known, "{result:?}");
    let (result, ()) = tokio::join!(call(&bed, "m", json!(2)), async {
        let (_, payload, answer) = called(&mut session).await;
        answer(200, &payload);
    });
    assert_eq!(result.unwrap().payload, json!(2));
}

async fn methods_reach_only_who_takes_them(bed: Bed) {
    let mut session = bed.session("m").await;
    let refused = call(&bed, "m", json!(1)).await;
    assert!(
        matches!(refused, Err(HubError::NotOnline { .. })),
        "{refused:?}"
    );
    session.calls.accept_methods(true).await.unwrap();
    let (result, ()) = tokio::join!(call(&bed, "m", json!(2)), async {
        let (_, payload, answer) = called(&mut session).await;
        answer(200, &payload);
    });
    assert_eq!(result.unwrap().payload, json!(2));
    session.calls.accept_methods(false).await.unwrap();
    let refused = call(&bed, "m", json!(3)).await;
    assert!(
        matches!(refused, Err(HubError::NotOnline { .. })),
        "{refused:?}"
    );
}

async fn messages_are_taken_in_order_under_their_modules_identity(bed: Bed) {
    const COUNT: u32 = 300;
    let session = bed.session("m").await;
    let mut reader = bed.hub.telemetry(StartAt::Earliest).unwrap();
    let message = |number: u32| {
        let mut message = Message {
            body: Bytes::from(number.to_string()),
            ..Message::default()
        };
        message.properties.set("k ä/+&=", format!("v #{number}"));
        message
            .system
            .set(SystemProperty::MessageId, format!("id/{number}"));
        message
            .system
            .set(SystemProperty::ContentType, "application/json");
        message.system.set(SystemProperty::OutputName, "out 1");
        Arc::new(message)
    };
    let sent = join_all((0..COUNT).map(|number| session.calls.send(message(number)))).await;
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    for number in 0..COUNT {
        let Some(TelemetryEvent::Message(telemetry)) = soon("a message", reader.next()).await
        else {
            panic!("a message is missing");
        };
        assert_eq!(telemetry.source, owner("m"));
        let message = &telemetry.message;
        assert_eq!(message.body, number.to_string());
        assert_eq!(
            message.properties.get("k ä/+&="),
            Some(&*format!("v #{number}"))
        );
        let system = |property| message.system.get(property).unwrap_or_default();
        assert_eq!(system(SystemProperty::MessageId), format!("id/{number}"));
        assert_eq!(system(SystemProperty::ContentType), "application/json");
        assert_eq!(system(SystemProperty::OutputName), "out 1");
        assert_eq!(system(SystemProperty::ConnectionDeviceId), "d1");
        assert_eq!(system(SystemProperty::ConnectionModuleId), "m");
    }
}

async fn a_message_that_is_too_large_is_refused(bed: Bed) {
    let session = bed.session("m").await;
    let message = |bytes| {
        Arc::new(Message {
            body: Bytes::from(vec![b'x'; bytes]),
            ..Message::default()
        })
    };
    assert!(is_refused(
        session.calls.send(message(256 * 1024 + 1)).await
    ));
    session.calls.send(message(256 * 1024)).await.unwrap();
}

async fn a_newer_session_ends_the_one_before(bed: Bed) {
    let mut first = bed.session("m").await;
    let mut second = bed.session("m").await;
    ended(&mut first).await;
    bed.patch_desired("m", json!({ "a": 1 })).await;
    let desired = follow(&mut second, Default::default(), 1, 2).await;
    assert_eq!(desired, object(json!({ "a": 1 })));
}

async fn a_session_ends_with_its_identity(bed: Bed) {
    let mut session = bed.session("m").await;
    let mut other = bed.session("n").await;
    bed.upstream.deprovision(module("m")).await.unwrap();
    ended(&mut session).await;
    let gone = bed.hub.identity(&owner("m")).await;
    assert!(matches!(gone, Err(HubError::NotFound { .. })), "{gone:?}");
    // It is safe to repeat, and touches nobody else.
    bed.upstream.deprovision(module("m")).await.unwrap();
    assert!(other.events.try_recv().is_err());
    other.calls.twin().await.unwrap();
}

async fn a_device_that_is_disabled_is_refused(bed: Bed) {
    let mut session = bed.session("m").await;
    let set = async |status| {
        let spec = IdentitySpec {
            edge: true,
            status,
            ..IdentitySpec::default()
        };
        let owner = TwinOwner::Device(device());
        bed.hub.update(&owner, spec, IfMatch::Any).await.unwrap();
    };
    set(IdentityStatus::Disabled).await;
    ended(&mut session).await;
    let interest = Interest { methods: false };
    let connected = bed.upstream.connect(module("m"), interest).await;
    assert!(is_refused(connected));
    set(IdentityStatus::Enabled).await;
    bed.session("m").await.calls.twin().await.unwrap();
}

async fn a_hub_that_is_gone_cannot_be_reached(bed: Bed) {
    let mut session = bed.session("m").await;
    bed.hub.close();
    ended(&mut session).await;
    let interest = Interest { methods: false };
    assert!(is_unreachable(
        bed.upstream.connect(module("m"), interest).await
    ));
}

async fn a_session_that_is_let_go_of_is_over_for_the_hub(bed: Bed) {
    let session = bed.session_with_methods("m").await;
    drop(session);
    let gone = async {
        while !matches!(
            call(&bed, "m", json!(1)).await,
            Err(HubError::NotOnline { .. })
        ) {
            tokio::task::yield_now().await;
        }
    };
    soon("the end at the hub", gone).await;
    bed.session("m").await.calls.twin().await.unwrap();
}

async fn an_identity_is_provisioned_once(bed: Bed) {
    let first = bed.upstream.provision(module("m")).await.unwrap();
    let again = bed.upstream.provision(module("m")).await.unwrap();
    assert_eq!(first.generation_id, again.generation_id);
    assert_eq!(first.primary_key, again.primary_key);
    let at_hub = bed.hub.identity(&owner("m")).await.unwrap();
    assert_eq!(at_hub.generation_id, first.generation_id);
    let keys = at_hub.authentication.symmetric_key.unwrap();
    assert_eq!(keys.primary.decode(), *first.primary_key);
    assert_eq!(bed.upstream.host_name(), "localhost");
}
