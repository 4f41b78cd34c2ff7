//! A server that runs jobs, in virtual time.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tower::{ServiceBuilder, ServiceExt, util::BoxCloneSyncService};
use tower_together::{Limiter, TogetherLayer};

pub(crate) type Client =
    BoxCloneSyncService<Request<Full<Bytes>>, Response<Full<Bytes>>, Infallible>;

/// The fate of a job.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fate {
    Completes,
    Fails,
    Cancelled,
    /// Ends with `error`, and begins again under another id.
    Restarts,
    /// Disappears from the server.
    Vanishes,
}

#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) suffix: String,
    fate: Fate,
    begins: Instant,
    ends: Instant,
}

#[derive(Clone)]
pub(crate) struct Server(Arc<Mutex<World>>);

#[derive(Default)]
struct World {
    jobs: Vec<Job>,
    lasts: Duration,
    fates: Vec<Fate>,
    cap: Option<usize>,
    page: Option<usize>,
    asked: Vec<(Instant, Method, String)>,
    most: usize,
    rejected: usize,
    scripted: Option<(u16, String)>,
}

impl Server {
    /// Its jobs run for `lasts`.
    pub(crate) fn new(lasts: Duration) -> Self {
        Self(Arc::new(Mutex::new(World {
            lasts,
            ..World::default()
        })))
    }

    pub(crate) fn fates(self, fates: &[Fate]) -> Self {
        self.world().fates = fates.to_vec();
        self
    }

    /// At most `cap` jobs run at once: one more gets a 409.
    pub(crate) fn cap(self, cap: usize) -> Self {
        self.world().cap = Some(cap);
        self
    }

    /// Lists have `page` jobs on a page.
    pub(crate) fn page(self, page: usize) -> Self {
        self.world().page = Some(page);
        self
    }

    /// Sets the next response.
    pub(crate) fn script(&self, status: u16, body: &str) {
        self.world().scripted = Some((status, body.to_owned()));
    }

    /// Starts a job of another program, now.
    pub(crate) fn begin(&self, suffix: &str, lasts: Duration) -> String {
        let mut world = self.world();
        world.lasts = std::mem::replace(&mut world.lasts, lasts);
        let id = world.create(suffix);
        world.jobs.last_mut().unwrap().ends = Instant::now() + lasts;
        id
    }

    pub(crate) fn jobs(&self) -> Vec<Job> {
        self.world().jobs.clone()
    }

    /// The most jobs that ran at once.
    pub(crate) fn most(&self) -> usize {
        self.world().most
    }

    /// The number of rejected creates.
    pub(crate) fn rejected(&self) -> usize {
        self.world().rejected
    }

    /// The instants of these requests.
    pub(crate) fn asked(&self, method: Method, path: &str) -> Vec<Instant> {
        let world = self.world();
        let asked = world.asked.iter();
        let same = asked.filter(|(_, other, at)| *other == method && at == path);
        same.map(|(at, ..)| *at).collect()
    }

    /// A client for it, with both layers.
    pub(crate) fn client(&self, limiter: &Limiter) -> Client {
        self.client_with(TogetherLayer::from(limiter.clone()))
    }

    pub(crate) fn client_with(&self, layer: TogetherLayer) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request| server.clone().respond(request));
        let service = ServiceBuilder::new().layer(layer).service(service);
        BoxCloneSyncService::new(service.and_then(async |response: Response<_>| {
            let (head, body) = response.into_parts();
            let body = BodyExt::collect(body).await.unwrap().to_bytes();
            Ok(Response::from_parts(head, Full::new(body)))
        }))
    }

    async fn respond(
        self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        sleep(Duration::from_millis(20)).await;
        let path = head.uri.path().trim_start_matches("/v1/").to_owned();
        let mut world = self.world();
        let asked = (Instant::now(), head.method.clone(), path.clone());
        world.asked.push(asked);
        let scripted = world.scripted.take();
        let (status, body) = match scripted {
            Some(scripted) => scripted,
            None => {
                let after = head
                    .uri
                    .query()
                    .and_then(|query| query.strip_prefix("after="));
                let path: Vec<_> = path.split('/').collect();
                let (status, body) = world.reply(&head.method, &path, after, &body);
                (status, body.to_string())
            }
        };
        let response = Response::builder()
            .status(status)
            .header("content-type", "application/json");
        Ok(response.body(Full::from(body)).unwrap())
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }
}

impl World {
    fn reply(
        &mut self,
        method: &Method,
        path: &[&str],
        after: Option<&str>,
        body: &[u8],
    ) -> (u16, Value) {
        match (method, path) {
            (&Method::POST, [_]) => self.ask_to_create(body),
            (&Method::GET, [_]) => (200, self.list(after)),
            (&Method::GET, [_, id]) => match self.find(id) {
                Some(job) => (200, job.json()),
                None => (404, json!({"error": {"message": "Job not found"}})),
            },
            _ => (404, json!({"error": {"message": "not found"}})),
        }
    }

    fn ask_to_create(&mut self, body: &[u8]) -> (u16, Value) {
        let running = self.running();
        if let Some(cap) = self.cap.filter(|cap| running >= *cap) {
            self.rejected += 1;
            let message = format!("Too many concurrent fine-tuning jobs: {running} of {cap} run");
            return (
                409,
                json!({"error": {"message": message, "type": "conflict"}}),
            );
        }
        let body: Value = serde_json::from_slice(body).unwrap();
        self.create(body["suffix"].as_str().unwrap());
        (200, self.jobs.last().unwrap().json())
    }

    fn create(&mut self, suffix: &str) -> String {
        let number = self.jobs.len();
        let fate = match self.fates.len() {
            0 => Fate::Completes,
            fates => self.fates[number % fates],
        };
        self.add(suffix, fate, Instant::now());
        self.most = self.most.max(self.running());
        self.jobs[number].id.clone()
    }

    fn add(&mut self, suffix: &str, fate: Fate, begins: Instant) {
        self.jobs.push(Job {
            id: format!("ft-{}", self.jobs.len()),
            suffix: suffix.to_owned(),
            fate,
            begins,
            ends: begins + self.lasts,
        });
    }

    /// Adds the jobs that have begun again by now.
    fn restart(&mut self) {
        let now = Instant::now();
        let again = |job: &&mut Job| job.fate == Fate::Restarts && job.ends <= now;
        let again: Vec<_> = self.jobs.iter_mut().filter(again).collect();
        let again: Vec<_> = again
            .into_iter()
            .map(|job| {
                job.fate = Fate::Fails;
                (job.suffix.clone(), job.ends)
            })
            .collect();
        for (suffix, begins) in again {
            self.add(&suffix, Fate::Completes, begins);
        }
    }

    fn running(&mut self) -> usize {
        self.restart();
        self.jobs.iter().filter(|job| job.runs()).count()
    }

    fn find(&mut self, id: &str) -> Option<Job> {
        self.restart();
        let job = self.jobs.iter().find(|job| job.id == id)?;
        Some(job.clone()).filter(|job| !job.is_gone())
    }

    fn list(&mut self, after: Option<&str>) -> Value {
        self.restart();
        let there = self.jobs.iter().rev().filter(|job| !job.is_gone());
        let mut there: Vec<_> = there.map(Job::json).collect();
        if let Some(after) = after {
            let at = there.iter().position(|job| job["id"] == after).unwrap();
            there.drain(..=at);
        }
        let page = self.page.unwrap_or(there.len());
        let more = there.len() > page;
        there.truncate(page);
        json!({"data": there, "has_more": more})
    }
}

impl Job {
    pub(crate) fn runs(&self) -> bool {
        let now = Instant::now();
        self.begins <= now && now < self.ends
    }

    fn is_gone(&self) -> bool {
        self.fate == Fate::Vanishes && !self.runs()
    }

    fn json(&self) -> Value {
        let status = match self.fate {
            _ if self.runs() => "running",
            Fate::Completes | Fate::Vanishes => "completed",
            Fate::Cancelled => "cancelled",
            Fate::Fails | Fate::Restarts => "error",
        };
        json!({"id": self.id, "status": status, "suffix": self.suffix, "model": "m"})
    }
}
