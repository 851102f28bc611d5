//! Child processes that never outlive the test process, ports of their own, and the tail of a log.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, OnceLock, mpsc};

type Job = Box<dyn FnOnce() + Send>;

/// Runs `spawn` on a thread that lives as long as the test process.
///
/// The kernel sends the parent-death signal when the *thread* ends that started the child, and a test's
/// thread, or a worker of its runtime, may end long before the process does.
pub fn on_lasting_thread<T: Send + 'static>(spawn: impl FnOnce() -> T + Send + 'static) -> T {
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

/// A command whose process is killed by the kernel when its parent dies, however that happens.
///
/// Start it through [`on_lasting_thread`]. `setpriv` replaces itself by the program, so the process id
/// is the program's own.
pub fn dying_with_us(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Sends a signal by name (`STOP`, `CONT`, `TERM`) to one process.
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
