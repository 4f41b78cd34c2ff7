//! Real processes with one limit, judged by one clock.

use std::{
    env,
    fs::{self, File},
    io::Write,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use testing::redis::Server;

use super::{Admin, chat, limiter, limits, signal};

const PROCESSES: usize = 8;
const MAX: usize = 100;

/// The work of one child, that always has requests. It is nothing in a run of the tests themselves.
#[tokio::test]
async fn a_child_writes_the_instants_of_its_departures() {
    let (Ok(url), Ok(path)) = (env::var("CHILD_URL"), env::var("CHILD_LOG")) else {
        return;
    };
    let limiter = limiter(&url, limits(MAX as u64, 1));
    let mut log = File::create(path).unwrap();
    loop {
        let permit = limiter.acquire(chat()).await.unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        log.write_all(&(now.as_micros() as u64).to_le_bytes())
            .unwrap();
        drop(permit);
    }
}

/// Processes that send as fast as they may. They are killed when this is dropped.
struct Processes {
    children: Vec<Child>,
    folder: PathBuf,
}

impl Processes {
    fn start(url: &str, name: &str) -> Self {
        let folder = env::temp_dir().join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let children = (0..PROCESSES).map(|of| {
            Command::new(env::current_exe().unwrap())
                .args([
                    "--exact",
                    "departures::a_child_writes_the_instants_of_its_departures",
                ])
                .env("CHILD_URL", url)
                .env("CHILD_LOG", folder.join(of.to_string()))
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        });
        let children = children.collect();
        Self { children, folder }
    }

    /// The instants at which each process sent, in microseconds.
    fn departures(&self) -> Vec<Vec<u64>> {
        let log = |of: usize| fs::read(self.folder.join(of.to_string())).unwrap_or_default();
        let instants = |bytes: Vec<u8>| {
            let instants = bytes.chunks_exact(8);
            instants
                .map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
                .collect()
        };
        (0..PROCESSES).map(|of| instants(log(of))).collect()
    }

    /// The most departures over the limit in any window, and the part of the limit that was used since `from`.
    fn judge(&self, from: u64) -> (i64, f64) {
        let mut all = self.departures().concat();
        all.sort_unstable();
        let (mut over, mut first) = (-(MAX as i64), 0);
        for (index, at) in all.iter().enumerate() {
            while at - all[first] >= 1_000_000 {
                first += 1;
            }
            over = over.max((index - first + 1) as i64 - MAX as i64);
        }
        all.retain(|at| *at >= from);
        let seconds = (all[all.len() - 1] - from) as f64 / 1e6;
        (over, all.len() as f64 / MAX as f64 / seconds)
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_micros() as u64
}

fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds));
}

#[test]
fn eight_processes_use_one_limit_in_equal_shares_and_never_more() {
    let Some(server) = Server::start() else {
        return;
    };
    let processes = Processes::start(&server.url(), "shares");
    seconds(2);
    let from = now();
    seconds(6);
    let (over, used) = processes.judge(from);
    let counts = processes.departures();
    let counts = counts
        .iter()
        .map(|of| of.iter().filter(|at| **at >= from).count());
    let counts: Vec<_> = counts.collect();
    // The machine of the tests has other work: its stalls lose instants.
    assert!(over <= 0 && used >= 0.8, "{over} {used:.3} {counts:?}");
    let mean = counts.iter().sum::<usize>() as f64 / PROCESSES as f64;
    let even = |count: &usize| (*count as f64 / mean - 1.0).abs() <= 0.15;
    assert!(counts.iter().all(even), "{counts:?}");
}

/// Events of the server and of the processes, and the part of the limit that is used in the 7 s from then on.
#[test]
#[ignore = "takes a minute"]
fn no_fault_of_the_server_or_of_a_process_lets_more_through() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let mut processes = Processes::start(&server.url(), "faults");
    seconds(2);
    let mut judge = |what: &str, fault: &mut dyn FnMut(&mut Server, &mut Processes)| {
        let from = now();
        fault(&mut server, &mut processes);
        seconds(7);
        let (over, used) = processes.judge(from);
        assert!(over <= 1, "{what}: {over} over the limit");
        assert!(used >= 0.7, "{what}: {used:.3} of the limit used");
    };
    judge("SIGSTOP of the server for 3 s", &mut |server, _| {
        let pid = server.pid().unwrap();
        signal("-STOP", pid);
        seconds(3);
        signal("-CONT", pid);
    });
    judge(
        "SIGKILL of the server, empty after 2 s",
        &mut |server, _| {
            server.kill();
            seconds(2);
            assert!(server.restart());
        },
    );
    judge(
        "FLUSHALL and SCRIPT FLUSH, three times",
        &mut |server, _| {
            let mut admin = Admin::of(server);
            for _ in 0..3 {
                admin.tell(&["FLUSHALL"]);
                admin.tell(&["SCRIPT", "FLUSH"]);
                sleep(Duration::from_millis(700));
            }
        },
    );
    judge("CLIENT KILL of all", &mut |server, _| {
        Admin::of(server).tell(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    });
    judge("SIGSTOP of three processes for 2 s", &mut |_, processes| {
        let stopped: Vec<_> = processes.children[..3].iter().map(Child::id).collect();
        stopped.iter().for_each(|pid| signal("-STOP", *pid));
        seconds(2);
        stopped.iter().for_each(|pid| signal("-CONT", *pid));
    });
    judge("SIGKILL of two processes", &mut |_, processes| {
        for child in &mut processes.children[..2] {
            child.kill().unwrap();
        }
    });
}
