//! Child processes that never outlive the test process, ports of their own, and the tail of a log.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use super::eventually;

/// Generous, since all tests share few cores.
const STOPS_WITHIN: Duration = Duration::from_secs(20);

type Job = Box<dyn FnOnce() + Send>;

/// Runs `spawn` on a thread that lives as long as the test process.
///
/// The kernel sends the parent-death signal when the *thread* ends that started the child, and a test's
/// thread, or a worker of its runtime, may end long before the process does.
fn on_lasting_thread<T: Send + 'static>(spawn: impl FnOnce() -> T + Send + 'static) -> T {
    static JOBS: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();
    let jobs = JOBS.get_or_init(|| {
        let (sender, receiver) = mpsc::channel::<Job>();
        std::thread::Builder::new()
            .name("child-spawner".into())
            .spawn(move || receiver.into_iter().for_each(|job| job()))
            .expect("the spawner thread starts");
        Mutex::new(sender)
    });
    let (answer, answered) = mpsc::sync_channel(1);
    jobs.lock()
        .expect("no job panics while it holds the lock")
        .send(Box::new(move || {
            let _ = answer.send(spawn());
        }))
        .expect("the spawner thread runs");
    answered.recv().expect("the spawn did not panic")
}

/// Whether a variable tells programs of the tests where their server is, who they are, by which proxy
/// they reach it, or how much they say.
fn is_setting(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_ascii_uppercase();
    let ours = ["ETCD_", "ETCDCTL_", "EMPUSA_"];
    ours.iter().any(|prefix| name.starts_with(prefix))
        || name.ends_with("_PROXY")
        || name == "RUST_LOG"
}

/// Keeps the settings of whoever runs the tests away from a program that a test starts. Call it before
/// the test's own are set.
pub fn without_settings(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_setting(name)) {
        command.env_remove(name);
    }
    command
}

/// A command whose process is killed by the kernel when its parent dies, however that happens; it is
/// [`without_settings`].
///
/// Start it through [`OwnedChild::spawn`]. `setpriv` replaces itself by the program, so the process id
/// is the program's own.
pub fn dying_with_us(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    without_settings(&mut command);
    command
}

/// Sends a signal by name (`STOP`, `CONT`, `TERM`) to one process; after `STOP` the process stands still.
///
/// The shell's own `kill` does it: the system call is out of reach without unsafe code.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("sh")
        .args([
            "-c",
            "kill -s \"$1\" \"$2\"",
            "kill",
            name,
            &pid.to_string(),
        ])
        .status()
        .expect("sh runs");
    assert!(
        status.success(),
        "SIG{name} could not be sent to process {pid}"
    );
    if name == "STOP" {
        until_stopped(pid);
    }
}

/// One thread of the process takes the signal and stops the others: until it comes to run, which takes
/// its time on a busy machine, they go on.
fn until_stopped(pid: u32) {
    let deadline = Instant::now() + STOPS_WITHIN;
    while let Err(why) = is_stopped(pid) {
        assert!(Instant::now() < deadline, "process {pid} goes on: {why}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn is_stopped(pid: u32) -> Result<(), String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).map_err(|error| error.to_string())?;
    for task in tasks {
        let path = task.map_err(|error| error.to_string())?.path().join("stat");
        let stat = fs::read_to_string(path).map_err(|error| error.to_string())?;
        // The name before the state may hold anything, also a parenthesis.
        let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        if !state.starts_with(['T', 't', 'Z', 'X']) {
            return Err(stat);
        }
    }
    Ok(())
}

/// A port on 127.0.0.1 that is ours until this value is dropped.
///
/// It lies below the range from which the kernel takes ports for outgoing connections, and a file lock
/// keeps other tests away from it, so a server can be stopped and started again on it.
#[derive(Debug)]
pub struct ReservedPort {
    pub number: u16,
    _lock: File,
}

impl ReservedPort {
    /// Reserves a port on which nobody listens now.
    ///
    /// # Panics
    /// When none is found.
    pub fn any() -> Self {
        const FIRST: u16 = 15_000;
        const COUNT: u16 = 17_000;
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ports");
        fs::create_dir_all(&folder).expect("a folder for port locks");
        // Processes start at different places; a collision costs one more attempt.
        let start = rand::random_range(0..COUNT);
        for step in 0..COUNT {
            let number = FIRST + (start + step) % COUNT;
            let lock =
                File::create(folder.join(number.to_string())).expect("a lock file for a port");
            if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Self {
                    number,
                    _lock: lock,
                };
            }
        }
        panic!("no free port on 127.0.0.1 from {FIRST} on");
    }
}

/// The last lines of a log, for a failure message.
pub fn tail(log: &Path) -> String {
    const LINES: usize = 40;
    match fs::read(log) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(LINES)..].join("\n")
        }
        Err(error) => format!("({} cannot be read: {error})", log.display()),
    }
}

/// A child that is killed and reaped when this value goes.
#[derive(Debug)]
pub struct OwnedChild(Child);

impl OwnedChild {
    /// Starts a command made by [`dying_with_us`].
    pub fn spawn(mut command: Command) -> io::Result<Self> {
        on_lasting_thread(move || command.spawn()).map(Self)
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// The child with its pipes, which are there to be taken.
    pub fn inner(&mut self) -> &mut Child {
        &mut self.0
    }

    /// SIGKILL, also to a paused process; returns when it is gone.
    pub fn kill9(mut self) {
        self.0.kill().expect("a child can be killed");
        self.0.wait().expect("a child can be waited for");
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }

    /// Waits until it ends by itself.
    pub async fn end(&mut self, what: &str, within: Duration) -> ExitStatus {
        eventually(within, what, async || match self.ended() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err("it is still running".to_owned()),
            Err(error) => Err(error.to_string()),
        })
        .await
    }
}

impl Drop for OwnedChild {
    fn drop(&mut self) {
        // Both fail only for a child that is reaped already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
