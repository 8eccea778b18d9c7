use tokio::time::Instant;

use super::*;

fn module(id: &str) -> ModuleId {
    ModuleId::new(id).expect("valid")
}

fn call(target: &str, connect: Duration) -> Invocation {
    Invocation {
        target: MethodTarget::Module(module(target)),
        name: "n".to_owned(),
        payload: "null".to_owned(),
        response_timeout: Duration::from_secs(5),
        connect_timeout: connect,
    }
}

fn answer(text: &str) -> MethodResponse {
    MethodResponse {
        status: 200,
        payload: text.to_owned(),
    }
}

/// A call as it comes from the hub, and where its answer arrives.
fn from_hub() -> (MethodCall, oneshot::Receiver<MethodResponse>) {
    let (respond, answer) = oneshot::channel();
    let call = MethodCall {
        name: "n".to_owned(),
        payload: "null".to_owned(),
        respond,
    };
    (call, answer)
}

async fn invoke(
    methods: &Methods,
    caller: &str,
    target: &str,
) -> Result<MethodResponse, InvokeError> {
    methods
        .invoke(&module(caller), call(target, Duration::ZERO))
        .await
}

#[tokio::test(start_paused = true)]
async fn a_call_is_answered_by_whoever_listens() {
    let methods = Methods::default();
    let (_listening, mut calls) = methods.listen(&module("b"));
    let answered = async {
        let call = calls.recv().await.expect("a call");
        let _ = call.respond.send(answer("1"));
    };
    let (response, ()) = tokio::join!(invoke(&methods, "a", "b"), answered);
    assert_eq!(response, Ok(answer("1")));
}

#[tokio::test(start_paused = true)]
async fn nobody_there_and_no_answer_are_told_apart() {
    let methods = Methods::default();
    let caller = module("a");
    let begun = Instant::now();
    let absent = methods
        .invoke(&caller, call("b", Duration::from_secs(3)))
        .await;
    assert_eq!(absent, Err(InvokeError::NotFound));
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
    let (listening, _calls) = methods.listen(&module("b"));
    assert_eq!(invoke(&methods, "a", "b").await, Err(InvokeError::Timeout));
    assert_eq!(begun.elapsed(), Duration::from_secs(8));
    drop(listening);
    assert_eq!(invoke(&methods, "a", "b").await, Err(InvokeError::NotFound));
    assert_eq!(begun.elapsed(), Duration::from_secs(8));
}

#[tokio::test(start_paused = true)]
async fn a_caller_may_wait_for_one_that_is_not_there_yet() {
    let methods = Methods::default();
    let caller = module("a");
    let invoked = methods.invoke(&caller, call("b", Duration::from_secs(60)));
    let comes_late = async {
        // One that is gone again before it looks at its calls is as if it had not been there.
        tokio::time::sleep(Duration::from_secs(10)).await;
        let (_listening, calls) = methods.listen(&module("b"));
        drop(calls);
        tokio::time::sleep(Duration::from_secs(10)).await;
        let (_listening, mut calls) = methods.listen(&module("b"));
        let call = calls.recv().await.expect("a call");
        // Its time for an answer begins now.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let _ = call.respond.send(answer("1"));
    };
    let (response, ()) = tokio::join!(invoked, comes_late);
    assert_eq!(response, Ok(answer("1")));
}

#[tokio::test(start_paused = true)]
async fn a_callee_that_ends_is_told_at_once() {
    let methods = Methods::default();
    let (_listening, mut calls) = methods.listen(&module("b"));
    let begun = Instant::now();
    let ends = async {
        let in_hand = calls.recv().await.expect("a call");
        drop((in_hand, calls));
    };
    let (response, ()) = tokio::join!(invoke(&methods, "a", "b"), ends);
    let Err(InvokeError::Other(text)) = response else {
        panic!("{response:?}");
    };
    assert!(text.starts_with("`b` ended"), "{text}");
    assert!(begun.elapsed().is_zero());
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_of_calls_is_told_at_once_to_modules_and_to_the_hub() {
    let methods = Methods::default();
    let (_listening, _calls) = methods.listen(&module("b"));
    let mut answers = Vec::new();
    for _ in 0..WAITING_MAX {
        let (call, answer) = from_hub();
        methods.forward(&module("b"), call);
        answers.push(answer);
    }
    let begun = Instant::now();
    let (call, refused) = from_hub();
    methods.forward(&module("b"), call);
    let refused = refused.await.expect("an answer");
    assert_eq!(refused.status, 429);
    assert_eq!(
        refused.payload,
        r#"{"error":"16 calls wait for `b` already, as many as may"}"#
    );
    let response = invoke(&methods, "a", "b").await;
    assert!(
        matches!(&response, Err(InvokeError::Other(text)) if text.starts_with("16 calls wait")),
        "{response:?}"
    );
    assert!(begun.elapsed().is_zero());
}

#[tokio::test(start_paused = true)]
async fn a_call_of_the_hub_that_nobody_takes_is_dropped() {
    let methods = Methods::default();
    let (call, answer) = from_hub();
    methods.forward(&module("b"), call);
    assert!(answer.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_ends_late_does_not_silence_the_one_after_it() {
    let methods = Methods::default();
    let mut changed = methods.watch();
    let (old, _old_calls) = methods.listen(&module("b"));
    assert!(changed.has_changed().expect("open"));
    let (new, mut calls) = methods.listen(&module("b"));
    drop(old);
    assert!(methods.listens(&module("b")));
    let (call, _answer) = from_hub();
    methods.forward(&module("b"), call);
    assert!(calls.try_recv().is_ok());
    changed.mark_unchanged();
    drop(new);
    assert!(changed.has_changed().expect("open"));
    assert!(!methods.listens(&module("b")));
}

#[tokio::test(start_paused = true)]
async fn the_device_itself_answers_no_methods() {
    let methods = Methods::default();
    let to_device = Invocation {
        target: MethodTarget::Device,
        ..call("a", Duration::from_secs(60))
    };
    let begun = Instant::now();
    assert_eq!(
        methods.invoke(&module("a"), to_device).await,
        Err(InvokeError::NotFound)
    );
    assert!(begun.elapsed().is_zero());
}

#[tokio::test(start_paused = true)]
async fn circles_are_refused_at_once() {
    let methods = Methods::default();
    assert_eq!(invoke(&methods, "a", "a").await, Err(InvokeError::Busy));
    let begin = |caller: &str, callee: &str| {
        methods
            .begin(&module(caller), &module(callee))
            .expect("no circle")
    };
    let _ab = begin("a", "b");
    let bc = begin("b", "c");
    let _cd = begin("c", "d");
    for caller in ["b", "c", "d"] {
        assert_eq!(invoke(&methods, caller, "a").await, Err(InvokeError::Busy));
    }
    // Another that waits for the same is no circle.
    let _eb = begin("e", "b");
    drop(bc);
    let (_listening, _calls) = methods.listen(&module("a"));
    assert_eq!(invoke(&methods, "d", "a").await, Err(InvokeError::Timeout));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_ends_late_does_not_hide_the_one_after_it() {
    let methods = Methods::default();
    let begin = || {
        methods
            .begin(&module("a"), &module("b"))
            .expect("no circle")
    };
    // The old instance of `a` is still being put away while the new one calls.
    let old = begin();
    let _new = begin();
    drop(old);
    assert_eq!(invoke(&methods, "b", "a").await, Err(InvokeError::Busy));
}
