//! Where the programs are that `make setup-tests` installed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::etcd::EtcdVersion;

/// Names another folder than `target/test-tools`.
pub const TOOLS_VARIABLE: &str = "OSGI_REMOTE_TEST_TOOLS";

/// Names the folder of another etcd 3.4 (`etcd` and `etcdctl`) than the one in `PATH`, for systems whose
/// packaged etcd is newer.
pub const ETCD_3_4_VARIABLE: &str = "OSGI_REMOTE_TEST_ETCD_3_4";

/// The folder that `make setup-tests` fills.
pub fn folder() -> PathBuf {
    std::env::var_os(TOOLS_VARIABLE).map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-tools"),
        PathBuf::from,
    )
}

/// A file below [`folder`].
///
/// # Panics
/// When it is not there.
pub fn file(relative: &str) -> PathBuf {
    let path = folder().join(relative);
    assert!(
        path.exists(),
        "{} is missing: run `make setup-tests`, or point {TOOLS_VARIABLE} to the folder that it filled",
        path.display(),
    );
    path
}

/// The server of a version.
pub fn etcd(version: EtcdVersion) -> PathBuf {
    etcd_program(version, "etcd")
}

/// The command-line client of a version.
pub fn etcdctl(version: EtcdVersion) -> PathBuf {
    etcd_program(version, "etcdctl")
}

fn etcd_program(version: EtcdVersion, name: &str) -> PathBuf {
    match version {
        EtcdVersion::V3_4 => packaged_etcd_folder().join(name),
        EtcdVersion::V3_5 => file("etcd-3.5").join(name),
    }
}

/// Found and checked once for each test process: a test named for 3.4 must not pass on another version.
fn packaged_etcd_folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = std::env::var_os(ETCD_3_4_VARIABLE)
            .map(PathBuf::from)
            .or_else(|| folder_in_path("etcd"))
            .unwrap_or_else(|| panic!("no etcd in PATH: run `make setup-tests`, or set {ETCD_3_4_VARIABLE}"));
        for program in ["etcd", "etcdctl"] {
            assert!(
                folder.join(program).exists(),
                "no {program} in {}: run `make setup-tests`",
                folder.display()
            );
        }
        let output = Command::new(folder.join("etcd"))
            .arg("--version")
            .output()
            .expect("etcd --version runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            text.contains("etcd Version: 3.4."),
            "the etcd in {} is no 3.4 but `{}`: set {ETCD_3_4_VARIABLE} to a folder with etcd and etcdctl 3.4",
            folder.display(),
            text.lines().next().unwrap_or_default(),
        );
        folder
    })
}

fn folder_in_path(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).find(|folder| folder.join(program).is_file())
}
