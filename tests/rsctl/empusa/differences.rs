//! Where the two differ, and why.

use super::{Seen, Step, step};

/// How a program ends, and a part of what it says.
#[derive(Debug)]
pub(super) struct End {
    code: i32,
    says: &'static str,
    on_stderr: bool,
}

impl End {
    pub(super) fn is(&self, seen: &Seen) -> bool {
        let said = if self.on_stderr {
            &seen.stderr
        } else {
            &seen.stdout
        };
        seen.code == Some(self.code) && said.contains(self.says)
    }
}

const fn prints(code: i32, says: &'static str) -> End {
    let on_stderr = false;
    End {
        code,
        says,
        on_stderr,
    }
}

const fn complains(code: i32, says: &'static str) -> End {
    let on_stderr = true;
    End {
        code,
        says,
        on_stderr,
    }
}

#[derive(Debug)]
pub(super) struct Difference {
    pub(super) why: &'static str,
    pub(super) root: &'static str,
    pub(super) before: &'static [Step],
    pub(super) step: Step,
    pub(super) empusa: End,
    pub(super) rsctl: End,
}

const fn difference(why: &'static str, step: Step, empusa: End, rsctl: End) -> Difference {
    Difference {
        why,
        root: "root",
        before: &[],
        step,
        empusa,
        rsctl,
    }
}

const DEAD: &str = "127.0.0.1:1";

pub(super) const ALL: &[Difference] = &[
    difference(
        "That etcd cannot be reached is not the answer `no`, for which 1 stands",
        step(&[
            "alone",
            "--etcd-endpoint",
            DEAD,
            "--tree-root",
            "/r",
            "switch",
            "get",
            "a",
        ]),
        complains(1, "EtcdConnectionFailed"),
        complains(3, "etcd at 127.0.0.1:1 cannot be reached"),
    ),
    difference(
        "All endpoints are used, and not only the first one",
        step(&[
            "alone",
            "--etcd-endpoint",
            DEAD,
            "--etcd-endpoint",
            "ETCD",
            "--tree-root",
            "/r",
            "switch",
            "list",
            "--format",
            "json",
        ]),
        complains(1, "EtcdConnectionFailed"),
        prints(0, "[]"),
    ),
    Difference {
        why: "Without an address of empusa's the general options and etcdctl's variables count",
        root: "root",
        before: &[],
        step: Step {
            variables: &[("ETCDCTL_ENDPOINTS", "ETCD")],
            args: &[
                "alone",
                "--tree-root",
                "/r",
                "switch",
                "list",
                "--format",
                "json",
            ],
        },
        empusa: complains(2, "Missing option '--etcd-endpoint'"),
        rsctl: prints(0, "[]"),
    },
    difference(
        "A wrong address is a usage error and no traceback",
        step(&[
            "alone",
            "--etcd-endpoint",
            "127.0.0.1:x",
            "--tree-root",
            "/r",
            "switch",
            "list",
        ]),
        complains(1, "ValueError"),
        complains(2, "`127.0.0.1:x` is no usable etcd address"),
    ),
    difference(
        "So is a wrong protocol",
        step(&["--etcd-protocol", "ftp", "switch", "list"]),
        complains(1, "URLSchemeUnknown"),
        complains(2, "the protocol 'ftp' is neither http nor https"),
    ),
    difference(
        "So is a name without segments, with which empusa puts a value at the place of the registry",
        step(&["switch", "set", "", "v"]),
        complains(0, "switch  set to v"),
        complains(2, "name '' is empty"),
    ),
    difference(
        "Nothing can have such a name",
        step(&["switch", "get", ""]),
        prints(1, "No such switch \"\""),
        complains(2, "name '' is empty"),
    ),
    difference(
        "A name must not lead out of the registry, into the keys of others",
        step(&["switch", "set", "../x", "v"]),
        complains(0, "switch ../x set to v"),
        complains(2, "would lead out of the registry"),
    ),
    difference(
        "A service has a type",
        step(&[
            "service",
            "register",
            "--service-type",
            "",
            "--service-name",
            "n",
            "--service-location",
            "l",
        ]),
        complains(0, "registered"),
        complains(2, "service type '' is empty"),
    ),
    difference(
        "and a name",
        step(&[
            "service",
            "register",
            "--service-type",
            "t",
            "--service-name",
            "",
            "--service-location",
            "l",
        ]),
        complains(0, "registered"),
        complains(2, "service name '' is empty"),
    ),
    difference(
        "and a location: an empty one comes from a variable that a script did not set",
        step(&[
            "service",
            "register",
            "--service-type",
            "t",
            "--service-name",
            "n",
            "--service-location",
            "",
        ]),
        complains(0, "registered"),
        complains(2, "the service has no location"),
    ),
    difference(
        "An empty root comes from such a variable as well; / is the root of all keys",
        step(&[
            "alone",
            "--etcd-endpoint",
            "ETCD",
            "--tree-root",
            "",
            "switch",
            "list",
        ]),
        prints(0, "Switch"),
        complains(2, "give --tree-root"),
    ),
    Difference {
        why: "An empty value can be expected as any other",
        root: "root",
        before: &[step(&["switch", "set", "a", ""])],
        step: step(&["switch", "cas", "a", "b", ""]),
        empusa: complains(1, ""),
        rsctl: complains(0, "switch a set to b"),
    },
    difference(
        "A negative time to live is a usage error",
        step(&["switch", "set", "a", "b", "--ttl", "-3"]),
        complains(1, "EtcdValueError"),
        complains(2, "it is negative"),
    ),
    difference(
        "and a negative pause, which empusa finds after it has registered",
        step(&[
            "service",
            "register",
            "--service-type",
            "t",
            "--service-name",
            "n",
            "--service-location",
            "l",
            "--refresh-every",
            "-1",
        ]),
        complains(1, "sleep length must be non-negative"),
        complains(2, "it is negative"),
    ),
    difference(
        "General options may also stand behind the command",
        step(&[
            "alone",
            "switch",
            "list",
            "--format",
            "json",
            "--etcd-endpoint",
            "ETCD",
            "--tree-root",
            "/r",
        ]),
        complains(2, "Missing option '--etcd-endpoint'"),
        prints(0, "[]"),
    ),
    difference(
        "Version 3 is what is used",
        step(&[
            "--etcd-api-version",
            "3",
            "switch",
            "list",
            "--format",
            "json",
        ]),
        complains(2, "'3' is not '2'"),
        prints(0, "[]"),
    ),
    difference(
        "Another log level than Python's is a usage error and no traceback",
        Step {
            variables: &[("EMPUSA_LOGLEVEL", "loud")],
            args: &["switch", "list"],
        },
        complains(1, "KeyError"),
        complains(2, "EMPUSA_LOGLEVEL is 'loud'"),
    ),
    difference(
        "Help is of the program that is run",
        step(&["--help"]),
        prints(0, "Usage: empusa"),
        prints(0, "Usage: rsctl"),
    ),
    Difference {
        why: "etcd v3 has no directories, which empusa lists as a service once they are empty",
        root: "root",
        before: &[
            step(&[
                "service",
                "register",
                "--service-type",
                "t",
                "--service-name",
                "n",
                "--service-location",
                "l",
            ]),
            step(&[
                "service",
                "unregister",
                "--service-type",
                "t",
                "--service-name",
                "n",
            ]),
        ],
        step: step(&["service", "list", "--format", "json"]),
        empusa: prints(
            0,
            "[{\"service\": \"t\", \"location\": null, \"ttl\": null}]",
        ),
        rsctl: prints(0, "[]\n"),
    },
    Difference {
        why: "so that a switch may be below another one",
        root: "root",
        before: &[step(&["switch", "set", "a", "1"])],
        step: step(&["switch", "set", "a/b", "2"]),
        empusa: complains(1, "EtcdNotDir"),
        rsctl: complains(0, "switch a/b set to 2"),
    },
    Difference {
        why: "and that there is nothing at the place of a directory",
        root: "root",
        before: &[step(&["switch", "set", "a/b", "1"])],
        step: step(&["switch", "remove", "a"]),
        empusa: complains(1, "EtcdNotFile"),
        rsctl: complains(0, "switch a was not set"),
    },
    Difference {
        why: "etcd v3 hides no key",
        root: "root",
        before: &[
            step(&["switch", "set", "_hidden", "1"]),
            step(&["switch", "set", "shown", "1"]),
        ],
        step: step(&["switch", "list", "--format", "json"]),
        empusa: prints(0, "[{\"switch\": \"shown\""),
        rsctl: prints(0, "[{\"switch\": \"_hidden\""),
    },
    Difference {
        why: "A root is a text, and no regular expression",
        root: "a+b",
        before: &[step(&["switch", "set", "a", "1"])],
        step: step(&["switch", "list", "--format", "json"]),
        empusa: prints(0, "[{\"switch\": \"/a+b-"),
        rsctl: prints(0, "[{\"switch\": \"a\""),
    },
    Difference {
        why: "What others wrote does not steer the terminal",
        root: "root",
        before: &[step(&["switch", "set", "a", "red\u{1b}[31m\nb"])],
        step: step(&["switch", "list"]),
        empusa: prints(0, "red\u{1b}[31m"),
        rsctl: prints(0, "| red\\u{1b}[31m\\nb |"),
    },
];
