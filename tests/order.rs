//! Who is next: lanes under several limits, services that are not ready at once, and callers that are
//! polled late. In virtual time, without learning.
#![allow(clippy::disallowed_methods, reason = "in virtual time")]

use std::{
    future::{Future, Ready, ready},
    num::NonZeroU32,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit};
use tower_together::{
    Endpoint, Limiter, Limits, Quota, TogetherRateLimitLayer,
    extension::{Caller, Model},
    limiter::Call,
};

const CHAT: Endpoint = Endpoint::ChatCompletions;
const MINUTE: Duration = Duration::from_secs(60);

fn per_minute(max: u64) -> Quota {
    Quota::per_minute(max).unwrap()
}

fn limiter(limits: Limits) -> Limiter {
    Limiter::new(limits).with_learning(false)
}

/// Keeps each call's lane busy, and counts what each sends.
async fn sent<const N: usize>(limits: Limits, calls: [Call; N], time: Duration) -> [usize; N] {
    let limiter = limiter(limits);
    let counts: Arc<[AtomicUsize; N]> = Arc::new(std::array::from_fn(|_| AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    for (lane, call) in calls.into_iter().enumerate() {
        for _ in 0..3 {
            let (limiter, counts, call) = (limiter.clone(), Arc::clone(&counts), call.clone());
            tasks.spawn(async move {
                loop {
                    drop(limiter.acquire(call.clone()).await.unwrap());
                    counts[lane].fetch_add(1, Relaxed);
                }
            });
        }
    }
    sleep(time).await;
    tasks.shutdown().await;
    std::array::from_fn(|lane| counts[lane].load(Relaxed))
}

fn assert_near(sent: &[usize], fair: &[usize]) {
    for (sent_by, fair_for) in sent.iter().zip(fair) {
        let near = fair_for * 9 / 10..=fair_for * 11 / 10;
        assert!(near.contains(sent_by), "{sent:?}, {fair:?} is fair");
    }
}

/// Chat sent once in half an hour: it held its place in the limit that delayed it longest only, and the
/// other lanes took the other one.
#[tokio::test(start_paused = true)]
async fn a_lane_under_two_shared_limits_gets_its_share_of_both() {
    use Endpoint::{Completions, Embeddings, Rerank};
    let limits = Limits::default().shared([CHAT, Rerank], per_minute(50));
    let calls = [CHAT, Rerank, Completions, Embeddings].map(Call::new);
    let sent = sent(limits, calls, 30 * MINUTE).await;
    // 25 of 50 a minute each; of the 600 a minute that chat shares, the others have the rest.
    assert_near(&sent, &[750, 750, 8_610, 8_610]);
}

#[tokio::test(start_paused = true)]
async fn a_lane_under_requests_and_tokens_gets_its_share_of_both() {
    let limits = Limits::none()
        .requests(CHAT, per_minute(600))
        .tokens(CHAT, per_minute(70_000))
        .for_model("big", Limits::none().requests(CHAT, per_minute(600)))
        .for_model("small", Limits::none().tokens(CHAT, per_minute(70_000)));
    let calls = [("big", 1_000), ("small", 100), ("m", 1_000)];
    let calls = calls.map(|(model, tokens)| {
        let call = Call::new(CHAT).with_model(model);
        call.with_tokens(tokens)
    });
    let sent = sent(limits, calls, 10 * MINUTE).await;
    // Tokens for 70 requests a minute, shared by two; and the rest of 600 requests.
    assert_near(&sent, &[350, 5_630, 350]);
}

/// A place in a limit's queue is not a hold: under one, 8 % of a limit of 600 a minute was used. Beside a
/// limit of 300 a minute, 75 % was used, since two intervals of the one are 2 ns more than one of the other.
#[tokio::test(start_paused = true)]
async fn a_lane_that_waits_for_a_slow_limit_leaves_a_fast_one_to_others() {
    use Endpoint::{Embeddings, Rerank};
    for slow in [50, 300] {
        let limits = Limits::none()
            .shared([CHAT, Rerank], per_minute(slow as u64))
            .shared([CHAT, Embeddings], per_minute(600));
        let calls = [CHAT, Rerank, Embeddings].map(Call::new);
        let sent = sent(limits, calls, 10 * MINUTE).await;
        let half = slow * 10 / 2;
        assert_near(&sent, &[half, half, 5_980 - half]);
    }
}

/// It idled until each departure of a lane that waits for another limit, up to one of its own intervals: 80 %
/// was used.
#[tokio::test(start_paused = true)]
async fn a_limit_does_not_idle_for_a_lane_that_waits_for_another() {
    use Endpoint::Embeddings;
    let limits = Limits::none()
        .shared([CHAT, Embeddings], per_minute(50))
        .requests(CHAT, per_minute(20));
    let sent = sent(limits, [CHAT, Embeddings].map(Call::new), 10 * MINUTE).await;
    assert!(sent[0] + sent[1] >= 475, "{sent:?} of 500");
    // 20 a minute is its share.
    assert!(sent[0] >= 150, "{sent:?}");
}

/// The lane that nothing paces took each window at once: of 6,000 the other lane sent 60.
#[tokio::test(start_paused = true)]
async fn a_paced_lane_gets_its_share_of_an_unpaced_window() {
    use Endpoint::Embeddings;
    let limits = Limits::none()
        .shared([CHAT, Embeddings], per_minute(600).unpaced())
        .requests(Embeddings, per_minute(1_000));
    let lanes = [CHAT, Embeddings].map(Call::new);
    let all = sent(limits.clone(), lanes.clone(), 10 * MINUTE).await;
    assert!(all[0] + all[1] >= 5_900, "{all:?} of 6,000");
    assert!(all[1] >= 1_500, "{all:?}: 3,000 would be fair");
    // A lane that can use little leaves the rest.
    let slow = limits.requests(Embeddings, per_minute(6));
    let all = sent(slow, lanes, 10 * MINUTE).await;
    assert!(all[0] >= 5_800 && all[1] >= 48, "{all:?}");
}

/// The same of a lane that waits for a slot, which others do not.
#[tokio::test(start_paused = true)]
async fn a_lane_that_waits_for_a_slot_gets_its_share_of_an_unpaced_window() {
    use Endpoint::Embeddings;
    let limits = Limits::none()
        .shared([CHAT, Embeddings], per_minute(120).unpaced())
        .in_flight(Embeddings, NonZeroU32::MIN);
    let limiter = limiter(limits);
    let mut tasks = JoinSet::new();
    let sent = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    for (lane, endpoint, takes) in [(0, CHAT, 0), (1, Embeddings, 500)] {
        for _ in 0..3 {
            let (limiter, sent) = (limiter.clone(), Arc::clone(&sent));
            tasks.spawn(async move {
                loop {
                    let permit = limiter.acquire(Call::new(endpoint)).await.unwrap();
                    sent[lane].fetch_add(1, Relaxed);
                    sleep(Duration::from_millis(takes)).await;
                    drop(permit);
                }
            });
        }
    }
    sleep(10 * MINUTE).await;
    let sent = [0, 1].map(|lane| sent[lane].load(Relaxed));
    assert!(sent[0] + sent[1] >= 1_170, "{sent:?} of 1,200");
    assert!(sent[1] >= 300, "{sent:?}: 600 would be fair");
}

/// Requests that cost many tokens and few, under two limits: a quarter of the tokens was not used.
#[tokio::test(start_paused = true)]
async fn tokens_do_not_idle_for_lanes_that_wait_for_requests() {
    use Endpoint::{Completions, Embeddings, Images, Rerank};
    let limits = Limits::none()
        .requests(Embeddings, per_minute(200))
        .shared_tokens([CHAT, Embeddings, Rerank, Images], per_minute(1_000_000))
        .shared([CHAT, Completions, Rerank], per_minute(200))
        .requests(Completions, per_minute(50));
    let calls = [
        (CHAT, 3_000),
        (Completions, 1_000),
        (Embeddings, 7_000),
        (Rerank, 100),
        (Images, 100),
    ];
    let calls = calls.map(|(endpoint, tokens)| Call::new(endpoint).with_tokens(tokens));
    let sent = sent(limits, calls, 20 * MINUTE).await;
    let tokens: usize = sent
        .iter()
        .zip([3_000, 0, 7_000, 100, 100])
        .map(|(sent, cost)| sent * cost)
        .sum();
    assert!(tokens >= 18_900_000, "{sent:?}: {tokens} of 19,934,000");
    // Each has its share of the limits that nobody has to himself, but for a third at most.
    assert!(sent[0] >= 900 && sent[3] >= 900, "{sent:?}");
}

/// A lane waits for a slot and for a paced limit at once.
#[tokio::test(start_paused = true)]
async fn a_lane_under_a_slot_and_a_pace_is_not_starved_of_either() {
    let limits = Limits::none()
        .requests(CHAT, per_minute(600))
        .in_flight(CHAT, NonZeroU32::MIN)
        .for_model("own pace", Limits::none().requests(CHAT, per_minute(6_000)))
        .for_model("own slot", Limits::none().in_flight(CHAT, NonZeroU32::MIN));
    let limiter = limiter(limits);
    let mut tasks = JoinSet::new();
    let mut sent = Vec::new();
    for model in ["own pace", "own slot", "m"] {
        let count = Arc::new(AtomicUsize::new(0));
        sent.push(Arc::clone(&count));
        for _ in 0..3 {
            let (limiter, count) = (limiter.clone(), Arc::clone(&count));
            tasks.spawn(async move {
                loop {
                    let call = Call::new(CHAT).with_model(model);
                    let permit = limiter.acquire(call).await.unwrap();
                    count.fetch_add(1, Relaxed);
                    sleep(Duration::from_millis(90)).await;
                    drop(permit);
                }
            });
        }
    }
    sleep(10 * MINUTE).await;
    let sent: Vec<_> = sent.iter().map(|count| count.load(Relaxed)).collect();
    assert!(sent.iter().all(|sent| *sent >= 1_300), "{sent:?}");
}

/// Keeps a lane busy whose requests are charged 10,000 tokens and cost 300, as their responses say half a
/// second later. Returns what they cost in ten minutes.
async fn settled_tokens(limits: Limits, beside: Option<Call>) -> usize {
    let limiter = limiter(limits);
    let used = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let (limiter, used) = (limiter.clone(), Arc::clone(&used));
        tasks.spawn(async move {
            loop {
                let call = Call::new(CHAT).with_model("m").with_tokens(10_000);
                let mut permit = limiter.acquire(call).await.unwrap();
                sleep(Duration::from_millis(500)).await;
                permit.settle(300);
                used.fetch_add(300, Relaxed);
            }
        });
    }
    if let Some(call) = beside {
        tasks.spawn(async move { while limiter.acquire(call.clone()).await.is_ok() {} });
    }
    sleep(10 * MINUTE).await;
    used.load(Relaxed)
}

/// A lane's share of a window was what its requests had been charged, and not what they cost: beside a slow
/// lane it used 3 % of the window.
#[tokio::test(start_paused = true)]
async fn a_lane_s_share_of_an_unpaced_window_is_what_its_requests_cost() {
    let tokens = per_minute(100_000).unpaced();
    let limits = Limits::none()
        .tokens(CHAT, tokens)
        .for_model("slow", Limits::none().requests(CHAT, per_minute(1)));
    let slow = Call::new(CHAT).with_model("slow").with_tokens(300);
    let alone = settled_tokens(limits.clone(), None).await;
    let beside = settled_tokens(limits, Some(slow)).await;
    assert!(
        beside * 10 >= alone * 9,
        "{beside} beside it, {alone} alone"
    );
}

/// A lane of which nothing had left yet was not counted among those that share the window.
#[tokio::test(start_paused = true)]
async fn a_lane_has_its_share_of_an_unpaced_window_before_anything_of_it_has_left() {
    let limits = Limits::none()
        .requests(CHAT, per_minute(60).unpaced())
        .for_model("slow", Limits::none().tokens(CHAT, per_minute(60)));
    let limiter = limiter(limits);
    let slow = Call::new(CHAT).with_model("slow").with_tokens(10);
    drop(limiter.acquire(slow.clone()).await.unwrap());
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let limiter = limiter.clone();
        let call = Call::new(CHAT).with_model("m");
        tasks.spawn(async move { limiter.acquire(call).await.map(drop) });
    }
    for _ in 0..3 {
        let waited = limiter.acquire(slow.clone()).await.unwrap().waited();
        assert!(waited < Duration::from_secs(12), "{waited:?}");
    }
}

/// It waited for the table's limit, which the server's had replaced, for up to 20 s.
#[tokio::test(start_paused = true)]
async fn a_higher_limit_that_the_server_names_lets_the_waiting_go_at_once() {
    let limiter = Limiter::default();
    let call = || Call::new(Endpoint::Images);
    let permit = limiter.acquire(call()).await.unwrap();
    let waiting = limiter.acquire(call());
    let told = async { permit.told(1_000.0) };
    let (waiting, ()) = tokio::join!(waiting, told);
    let waited = waiting.unwrap().waited();
    assert!(waited < Duration::from_millis(3), "{waited:?}");
}

/// It was asked again only when a job ended.
#[tokio::test(start_paused = true)]
async fn a_report_that_all_job_slots_are_taken_is_believed_for_an_hour() {
    let answers = [
        (200, r#"{"id":"first","status":"IN_PROGRESS"}"#),
        (200, r#"{"id":"second","status":"IN_PROGRESS"}"#),
        (429, r#"{"error":{"message":"too many active batch jobs"}}"#),
        (200, r#"{"id":"third","status":"IN_PROGRESS"}"#),
    ];
    let mut answers = answers.into_iter();
    let inner = tower::service_fn(move |_: Request<Empty<Bytes>>| {
        let (status, body) = answers.next().unwrap();
        let answer = Response::builder().status(status);
        let answer = answer.header("content-type", "application/json");
        ready(Ok::<_, std::convert::Infallible>(
            answer.body(Full::from(body)).unwrap(),
        ))
    });
    let inner = tower::buffer::Buffer::new(inner, 8);
    let service = TogetherRateLimitLayer::new(Limits::default()).layer(inner);
    let start = Instant::now();
    for _ in 0..4 {
        let request = Request::post("https://api.together.ai/v1/batches");
        let request = request.body(Empty::new()).unwrap();
        let answer = timeout(120 * MINUTE, service.clone().oneshot(request)).await;
        answer.expect("it is asked again").unwrap();
    }
    assert_eq!(start.elapsed().as_secs() / 60, 60);
}

/// A service whose clones are ready at their second poll.
struct SecondPoll {
    polled: bool,
    polls: Arc<AtomicUsize>,
}

impl Clone for SecondPoll {
    fn clone(&self) -> Self {
        Self {
            polled: false,
            polls: Arc::clone(&self.polls),
        }
    }
}

impl<B> Service<Request<B>> for SecondPoll {
    type Response = Response<Empty<Bytes>>;
    type Error = std::convert::Infallible;
    type Future = Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        assert!(self.polls.fetch_add(1, Relaxed) < 1_000, "they spin");
        if self.polled {
            return Poll::Ready(Ok(()));
        }
        self.polled = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        assert!(self.polled, "called before it was ready");
        self.polled = false;
        ready(Ok(Response::default()))
    }
}

fn request(caller: &'static str, model: &'static str) -> Request<Empty<Bytes>> {
    Request::post("https://api.together.ai/v1/chat/completions")
        .extension(Caller::new(caller))
        .extension(Model::new(model))
        .body(Empty::new())
        .unwrap()
}

/// Requests passed the turn around, and none was sent.
#[tokio::test(start_paused = true)]
async fn clones_that_are_ready_at_their_second_poll_are_each_polled_a_few_times() {
    let names = ["a", "b", "c", "d", "e", "f"];
    for (by_caller, spread) in [(true, false), (false, true), (true, true)] {
        let polls = Arc::default();
        let inner = SecondPoll {
            polled: false,
            polls: Arc::clone(&polls),
        };
        let shared = per_minute(600);
        let limits = Limits::none().shared([CHAT, Endpoint::Images], shared);
        let service = TogetherRateLimitLayer::from(limiter(limits)).layer(inner);
        let mut tasks = JoinSet::new();
        for name in names {
            let caller = if by_caller { name } else { "one" };
            let model = if spread { name } else { "m" };
            tasks.spawn(service.clone().oneshot(request(caller, model)));
        }
        let all = async { while tasks.join_next().await.is_some() {} };
        timeout(MINUTE, all).await.expect("all are sent");
        let polls = polls.load(Relaxed);
        assert!(polls <= 8 * names.len(), "{polls} polls");
    }
}

/// tower's own: the permit was free, and the clock never moved.
#[tokio::test(start_paused = true)]
async fn a_concurrency_limit_beneath_passes_its_permit_on() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let inner = tower::service_fn(|_: Request<Empty<Bytes>>| async {
            tokio::task::yield_now().await;
            Ok::<_, std::convert::Infallible>(Response::<Empty<Bytes>>::default())
        });
        let inner = ConcurrencyLimit::new(inner, 1);
        let limits = Limits::none().requests(CHAT, Quota::per_second(50).unwrap());
        let service = TogetherRateLimitLayer::from(limiter(limits)).layer(inner);
        let mut tasks = JoinSet::new();
        for _ in 0..8 {
            let names = ["a", "b", "c"];
            let one = request(names[random.usize(..3)], names[random.usize(..3)]);
            let (service, after) = (service.clone(), random.u64(..60));
            let patience = Duration::from_millis(random.u64(..200));
            tasks.spawn(async move {
                sleep(Duration::from_millis(after)).await;
                let _ = timeout(patience, service.oneshot(one)).await;
            });
        }
        let all = async { while tasks.join_next().await.is_some() {} };
        timeout(MINUTE, all).await.expect("all end");
    }
}

/// Being 47 ms late cost a caller a whole round of forty others.
#[tokio::test(start_paused = true)]
async fn a_caller_that_is_polled_late_keeps_its_turn() {
    let limiter = limiter(Limits::none().requests(CHAT, Quota::per_second(1).unwrap()));
    drop(limiter.acquire(Call::new(CHAT)).await.unwrap());
    let call = |caller: &str| Call::new(CHAT).with_caller(caller);
    let mut late = pin!(limiter.acquire(call("late")));
    let mut unpolled = Context::from_waker(Waker::noop());
    assert!(late.as_mut().poll(&mut unpolled).is_pending());
    let mut tasks = JoinSet::new();
    for other in 0..40 {
        let (limiter, call) = (limiter.clone(), call(&other.to_string()));
        tasks.spawn(async move { limiter.acquire(call).await.map(drop) });
    }
    sleep(Duration::from_millis(1_005 + 47)).await;
    let start = Instant::now();
    drop(late.await.unwrap());
    assert!(
        start.elapsed() < Duration::from_millis(1_010),
        "{:?}",
        start.elapsed()
    );
}

/// It got a third of what others got. It is polled in two of five of its turns, so that four others have
/// 5.5 turns to each of its own, not four.
#[tokio::test(start_paused = true)]
async fn a_caller_that_is_polled_now_and_then_loses_no_more_than_the_turns_it_sleeps_through() {
    let limiter = limiter(Limits::none().requests(CHAT, Quota::per_second(20).unwrap()));
    let call = |caller: &str| Call::new(CHAT).with_caller(caller);
    let counts: Arc<[AtomicUsize; 4]> = Arc::default();
    let mut tasks = JoinSet::new();
    for caller in 0..4 {
        let (limiter, counts) = (limiter.clone(), Arc::clone(&counts));
        let call = call(&caller.to_string());
        tasks.spawn(async move {
            while let Ok(_permit) = limiter.acquire(call.clone()).await {
                counts[caller].fetch_add(1, Relaxed);
            }
        });
    }
    let mut turns = 0;
    let mut waiting = Box::pin(limiter.acquire(call("now and then")));
    for _ in 0..10_000 {
        let mut unwoken = Context::from_waker(Waker::noop());
        while let Poll::Ready(permit) = waiting.as_mut().poll(&mut unwoken) {
            drop(permit);
            turns += 1;
            waiting = Box::pin(limiter.acquire(call("now and then")));
        }
        sleep(Duration::from_millis(25)).await;
    }
    let others: Vec<_> = counts.iter().map(|count| count.load(Relaxed)).collect();
    assert!(
        others.iter().all(|other| turns * 10 >= other * 7),
        "{turns}, {others:?}"
    );
}
