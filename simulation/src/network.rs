//! A network with a server for each model.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use fastrand::Rng;
use http::Response;
use http_body_util::Full;
use testing::now;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    response,
    server::{Fails, Says, Server, Tokens},
    setting::Setting,
    tally::Tally,
};

/// A connection to the servers. Clones share it, and its random numbers.
#[derive(Clone)]
pub struct Network {
    world: Arc<Mutex<World>>,
    random: Arc<Mutex<Rng>>,
}

struct World {
    servers: Vec<(Server, Tally)>,
    start: Instant,
    seconds: u64,
    says: Says,
    errors: &'static [&'static str],
    delay: (u64, u64),
    thinks: (u64, u64),
}

/// The outcome of an attempt.
enum Outcome {
    Accepted,
    Rejected,
    Busy,
    Reset,
}

impl Network {
    /// Starts the time.
    pub fn new<C>(setting: &Setting<C>, mut random: Rng) -> Self {
        let tally = Tally::new(setting.counted_from, setting.seconds, setting.clients.len());
        let servers = setting.servers.iter();
        let world = World {
            servers: servers
                .map(|rules| (Server::new(*rules, &mut random), tally.clone()))
                .collect(),
            start: now(),
            seconds: setting.seconds,
            says: setting.says,
            errors: setting.errors,
            delay: setting.delay,
            thinks: setting.thinks,
        };
        Self {
            world: Arc::new(Mutex::new(world)),
            random: Arc::new(Mutex::new(random)),
        }
    }

    /// A connection to the same servers with random numbers of its own.
    pub fn fork(&self) -> Self {
        let random = self.random.lock().unwrap().fork();
        Self {
            world: Arc::clone(&self.world),
            random: Arc::new(Mutex::new(random)),
        }
    }

    /// Sends a client's request to a model's server that resets no connection, and returns the response.
    ///
    /// # Panics
    ///
    /// If the connection is reset.
    pub async fn send(&self, client: usize, model: usize) -> Response<Full<Bytes>> {
        let response = self.try_send(client, model, Tokens::default()).await;
        response.expect("no connection is reset")
    }

    /// Sends a client's request of some tokens to a model's server.
    pub async fn try_send(
        &self,
        client: usize,
        model: usize,
        tokens: Tokens,
    ) -> io::Result<Response<Full<Bytes>>> {
        sleep(self.leave(model)).await;
        let (response, takes) = self.arrive(client, model, tokens);
        sleep(takes).await;
        if matches!(&response, Ok(response) if response.status().is_success()) {
            self.responded(model, tokens);
        }
        response
    }

    /// Lets the workers send until all of them have ended, or the setting's time has passed. Returns a tally for each
    /// model.
    pub async fn let_finish(&self, workers: JoinSet<()>) -> Vec<Tally> {
        let seconds = self.world.lock().unwrap().seconds;
        tokio::select! {
            _ = workers.join_all() => {}
            () = self.watch(seconds) => {}
        }
        self.tallies()
    }

    /// Lets the workers send until the setting's time has passed. Returns a tally for each model.
    ///
    /// # Panics
    ///
    /// If a worker stops earlier.
    pub async fn let_work(&self, mut workers: JoinSet<()>) -> Vec<Tally> {
        let seconds = self.world.lock().unwrap().seconds;
        let stopped = timeout(Duration::from_secs(seconds), async {
            tokio::join!(workers.join_next(), self.watch(seconds)).0
        });
        let stopped = stopped.await;
        assert!(stopped.is_err(), "a worker stopped: {stopped:?}");
        self.tallies()
    }

    fn tallies(&self) -> Vec<Tally> {
        let world = self.world.lock().unwrap();
        let tallies = world.servers.iter().map(|(_, tally)| tally.clone());
        tallies.collect()
    }

    /// Records in the middle of each second what the servers allow in it.
    async fn watch(&self, seconds: u64) {
        sleep(Duration::from_millis(500)).await;
        for second in 0..seconds {
            self.note(second as usize);
            sleep(Duration::from_secs(1)).await;
        }
    }

    fn note(&self, second: usize) {
        let world = &mut *self.world.lock().unwrap();
        for (server, tally) in &mut world.servers {
            tally.allowed[second] = server.left(now() - world.start);
        }
    }

    fn leave(&self, model: usize) -> Duration {
        let world = &mut *self.world.lock().unwrap();
        world.servers[model].1.sent(now() - world.start);
        between(&mut self.random.lock().unwrap(), world.delay)
    }

    fn arrive(
        &self,
        client: usize,
        model: usize,
        tokens: Tokens,
    ) -> (io::Result<Response<Full<Bytes>>>, Duration) {
        let world = &mut *self.world.lock().unwrap();
        world.arrival(client, model, tokens, &mut self.random.lock().unwrap())
    }

    fn responded(&self, model: usize, tokens: Tokens) {
        let world = &mut *self.world.lock().unwrap();
        let now = now() - world.start;
        world.servers[model].0.responded(now, tokens);
    }
}

impl World {
    fn arrival(
        &mut self,
        client: usize,
        model: usize,
        tokens: Tokens,
        random: &mut Rng,
    ) -> (io::Result<Response<Full<Bytes>>>, Duration) {
        let now = now() - self.start;
        let (server, tally) = &mut self.servers[model];
        let verdict = server.arrival(now, tokens);
        tally.arrived(now, client, tokens, verdict.wait.is_none());
        let outcome = match verdict.wait {
            None => Outcome::draw(server.fails(), random),
            Some(_) => Outcome::Rejected,
        };
        let takes = match outcome {
            Outcome::Accepted => between(random, self.thinks),
            Outcome::Reset => between(random, self.thinks) / 2,
            Outcome::Rejected | Outcome::Busy => REJECTS,
        };
        let takes = takes + between(random, self.delay);
        let response = match outcome {
            Outcome::Accepted | Outcome::Rejected => Ok(response::of(
                verdict,
                self.says,
                tokens,
                self.errors,
                random,
            )),
            Outcome::Busy => Ok(response::busy()),
            Outcome::Reset => Err(io::ErrorKind::ConnectionReset.into()),
        };
        (response, takes)
    }
}

impl Outcome {
    /// The outcome of an accepted request.
    fn draw(fails: Fails, random: &mut Rng) -> Self {
        // Nothing is drawn for a server that fails none, so that its other numbers stay the same.
        if fails.busy + fails.reset == 0.0 {
            return Self::Accepted;
        }
        match random.f64() {
            part if part < fails.busy => Self::Busy,
            part if part < fails.busy + fails.reset => Self::Reset,
            _ => Self::Accepted,
        }
    }
}

fn between(random: &mut Rng, (from, to): (u64, u64)) -> Duration {
    Duration::from_micros(random.u64(1_000 * from..=1_000 * to))
}

const REJECTS: Duration = Duration::from_millis(5);
