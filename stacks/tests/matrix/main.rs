//! Every stack keeps the same promises: real clients, real sockets, one table of tests.
//!
//! The table has no gaps. If a stack does not show its caller a fact that another does, the assertion covers that
//! instead: `stacks::Shows` says which facts, and why.
#![allow(
    clippy::disallowed_methods,
    reason = "real sockets and runtimes take real time"
)]

mod ask;
mod bench;
mod cells;
mod grpc;
mod layers;
mod response;
mod stacks;
mod upstream;
mod words;

/// A test for each promise of each stack: `http1::a_503_is_retried`.
macro_rules! matrix {
    ($promises:tt of $($name:ident: $stack:ident,)*) => {$(
        mod $name {
            matrix!(@ $stack $promises);
        }
    )*};
    (@ $stack:ident [$($promise:ident,)*]) => {$(
        #[tokio::test]
        async fn $promise() {
            let test = crate::cells::$promise::<crate::stacks::$stack>();
            crate::bench::in_time(test).await;
        }
    )*};
}

matrix! {
    [
        what_need_not_wait_gets_the_response_as_it_is,
        what_comes_at_once_leaves_in_order_and_no_faster_than_the_limit,
        what_would_wait_too_long_is_rejected_as_the_api_would,
        what_would_miss_its_deadline_is_rejected_at_once,
        what_is_dropped_while_it_waits_costs_nothing,
        what_is_dropped_under_way_gives_its_slot_back,
        a_429_is_retried_when_the_server_said,
        a_503_is_retried,
        a_stream_comes_piece_by_piece_and_holds_its_slot_to_its_end,
        a_stream_that_nobody_reads_on_gives_its_slot_back,
        a_large_upload_that_failed_arrives_whole_the_second_time,
        a_large_upload_that_was_rejected_early_arrives_whole_the_second_time,
    ] of
    http1: Http1,
    http2: Http2,
    reqwest: Reqwest,
    http_over_reqwest: HttpOverReqwest,
    reqwest_middleware: Middleware,
    two_reqwest_middlewares: TwoMiddlewares,
    tonic: Tonic,
    tonic_behind_a_proxy: TonicProxied,
    tonic_server: TonicServer,
    axum_in: AxumIn,
    axum_out: AxumOut,
    hyper_server: HyperServer,
    async_openai: AsyncOpenAi,
}
