//! A network namespace, joined to the test's own by one wire that can be pulled.

use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::eventually;
use super::process::{OwnedChild, dying_with_us};

const READY_WITHIN: Duration = Duration::from_secs(20);

/// A namespace that lives as long as this value: a process holds it, and with the namespace the wire goes.
///
/// Its addresses are of the range for benchmarks (RFC 2544), and no packet leaves the machine.
#[derive(Debug)]
pub struct Namespace {
    keeper: OwnedChild,
    /// Our end of the wire.
    wire: String,
    pub outside: Ipv4Addr,
    pub inside: Ipv4Addr,
}

impl Namespace {
    /// Makes one.
    ///
    /// # Errors
    /// Why this machine does not allow it; such as a missing program, or not being root.
    pub async fn new() -> Result<Self, String> {
        let mut command = dying_with_us("unshare");
        command
            .args(["--net", "--", "sleep", "infinity"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut keeper = OwnedChild::spawn(command).map_err(|error| error.to_string())?;
        entered(&mut keeper).await?;
        let pid = keeper.pid();
        // A wire of its own network of four addresses; another test takes the same one hardly ever, and
        // then fails to add it and says so.
        let network = 4 * rand::random_range(0..64_u8);
        let [a, b] = [18 + rand::random_range(0..2_u8), rand::random()];
        let [outside, inside] = [1, 2].map(|host| Ipv4Addr::new(198, a, b, network + host));
        let (wire, end) = (format!("or{pid}a"), format!("or{pid}b"));
        let namespace = Self {
            keeper,
            wire,
            outside,
            inside,
        };
        let pid = pid.to_string();
        let outer = format!("{outside}/30");
        let inner = format!("{inside}/30");
        let wire = namespace.wire.as_str();
        ip(&["link", "add", wire, "type", "veth", "peer", "name", &end])?;
        ip(&["link", "set", &end, "netns", &pid])?;
        ip(&["addr", "add", &outer, "dev", wire])?;
        ip(&["link", "set", wire, "up"])?;
        namespace.ip_inside(&["addr", "add", &inner, "dev", &end])?;
        namespace.ip_inside(&["link", "set", &end, "up"])?;
        namespace.ip_inside(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// A process in the namespace.
    pub fn pid(&self) -> u32 {
        self.keeper.pid()
    }

    /// Pulls the wire, or puts it back: connections know nothing of it.
    pub fn pull(&self, pulled: bool) {
        let state = if pulled { "down" } else { "up" };
        ip(&["link", "set", &self.wire, state]).expect("a wire can be pulled");
    }

    /// Loses what is sent from the inside to the outside, or stops losing it.
    pub fn lose_answers(&self, lose: bool) {
        let change = if lose { "add" } else { "del" };
        let outside = format!("{}/32", self.outside);
        self.ip_inside(&["route", change, "blackhole", &outside])
            .expect("a route can be set");
    }

    fn ip_inside(&self, args: &[&str]) -> Result<(), String> {
        let namespace = format!("--net=/proc/{}/ns/net", self.pid());
        let mut all = vec![namespace.as_str(), "ip"];
        all.extend(args);
        run("nsenter", &all)
    }
}

/// Waits until the process is in a namespace of its own.
async fn entered(keeper: &mut OwnedChild) -> Result<(), String> {
    let inode = |path: &str| std::fs::metadata(path).map(|data| data.ino());
    let own = inode("/proc/self/ns/net").map_err(|error| error.to_string())?;
    let path = format!("/proc/{}/ns/net", keeper.pid());
    eventually(READY_WITHIN, "a network namespace", async || {
        match (keeper.ended(), inode(&path)) {
            (Ok(Some(status)), _) => Ok(Err(format!("`unshare --net` ended with {status}"))),
            (Ok(None), Ok(other)) if other != own => Ok(Ok(())),
            (ended, inode) => Err(format!("{ended:?}, {inode:?}")),
        }
    })
    .await
}

fn ip(args: &[&str]) -> Result<(), String> {
    run("ip", args)
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("{program} {}: {}", args.join(" "), said.trim()))
        }
    }
}
