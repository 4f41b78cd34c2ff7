//! All runs, on all cores.

use std::{
    io,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::{
    clients::{ALL, Setup},
    figures::Figures,
    progress::Progress,
    run::run,
    servers::Server,
};

/// A server, and the medians of each client with it.
pub(crate) struct Row {
    pub(crate) server: Server,
    pub(crate) clients: Vec<(&'static Setup, Figures)>,
}

impl Row {
    /// The clients that were run with every server.
    pub(crate) fn of(&self, client: &Setup) -> Option<&Figures> {
        let found = self
            .clients
            .iter()
            .find(|(setup, _)| setup.name == client.name);
        found.map(|(_, figures)| figures)
    }
}

/// Runs each client with each server, once for each seed.
pub(crate) fn all_runs(servers: Vec<Server>, seeds: u64) -> io::Result<Vec<Row>> {
    let pairs = |server: &Server| {
        ALL.iter()
            .filter(|client| client.is_for(server.name))
            .count()
    };
    let progress = Progress::new(servers.iter().map(pairs).sum::<usize>() * seeds as usize);
    let rows = servers.into_iter().map(|server| {
        let clients: Vec<_> = ALL
            .iter()
            .filter(|client| client.is_for(server.name))
            .collect();
        let figures = in_parallel(clients.len() * seeds as usize, |index| {
            let (client, seed) = (clients[index / seeds as usize], index as u64 % seeds);
            let figures = run(&server, client, seed);
            progress.step()?;
            Ok(figures)
        })?;
        let medians = figures.chunks(seeds as usize).map(Figures::medians);
        let clients = clients.into_iter().zip(medians).collect();
        Ok(Row { server, clients })
    });
    let rows = rows.collect();
    progress.end()?;
    rows
}

/// Calls `work` with each number below `count`. Returns its results in their order.
fn in_parallel<T: Send>(
    count: usize,
    work: impl Fn(usize) -> io::Result<T> + Sync,
) -> io::Result<Vec<T>> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|index| *index < count);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(|| {
                while let Some(index) = take() {
                    let result = work(index);
                    done.lock().unwrap().push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}
