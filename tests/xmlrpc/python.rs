//! Python's own `xmlrpc`, which iPOPO is built on, in both directions.

use std::process::Stdio;

use osgi_remote::distribution::xmlrpc::{Client, ClientConfig};
use osgi_remote::interface::{Call, Data, Invoker};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::{all_types, pair, soon, url};

/// Echoes all types through our server, and reads its faults.
const CLIENT: &str = r#"
import sys, datetime, xmlrpc.client as x
proxy = x.ServerProxy(sys.argv[1], allow_none=True, use_builtin_types=True)
values = [None, True, False, -2**31, 2**31 - 1, 2**63 - 1, -0.1, 1e300, 1e-300, float("inf"), "",
          "  <a> & \"b\"\n\t]]> \u00e4\U0001F600 ", bytes(range(256)) * 3,
          datetime.datetime(2026, 11, 21, 1, 27, 22), [], {}, {"a b <&>": [-1, {"": "x"}]}]
class Wide(x.Marshaller):
    def dump_long(self, value, write):
        tag = "int" if x.MININT <= value <= x.MAXINT else "i8"
        write("<value><%s>%d</%s></value>\n" % (tag, value, tag))
    dispatch = dict(x.Marshaller.dispatch)
    dispatch[int] = dump_long
x.FastMarshaller, x.Marshaller = None, Wide
back = getattr(proxy, "7.echo")(*values)
assert back == values, (back, values)
assert [type(v) for v in back] == [type(v) for v in values], back
assert getattr(proxy, "7.echo")("a\rb") == ["a\nb"]
nan = getattr(proxy, "7.echo")(float("nan"))[0]
assert nan != nan, nan
def fault(name):
    try:
        getattr(proxy, name)()
    except x.Fault as f:
        return f.faultCode, f.faultString
assert fault("7.fail") == (42, "<class 'ValueError'>:it <failed>"), fault("7.fail")
assert fault("7.nope")[0] == -32601, fault("7.nope")
assert fault("9.echo")[0] == -32000, fault("9.echo")
assert fault("echo")[0] == -32600, fault("echo")
assert fault("7.panic")[0] == 1, fault("7.panic")
print("all is well")
"#;

/// Echoes what our client sends, as iPOPO's server would.
const SERVER: &str = r#"
import sys, xmlrpc.client as x
from xmlrpc.server import SimpleXMLRPCServer
class Server(SimpleXMLRPCServer):
    def _dispatch(self, method, params):
        assert method.split(".")[0] == "7" and method.count(".") == 1, method
        if method == "7.fail":
            raise ValueError("no: such")
        if method == "7.types":
            return [type(p).__name__ for p in params]
        return list(params)
server = Server(("127.0.0.1", 0), allow_none=True, use_builtin_types=True, logRequests=False)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

#[tokio::test]
async fn python_calls_us_with_all_types_and_reads_our_faults() {
    let pair = pair().await;
    let python = Command::new("python3")
        .args(["-c", CLIENT, &url(&pair.server)])
        .kill_on_drop(true)
        .output();
    let output = soon(python).await.expect("python3 is needed for this test");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(output.stdout, b"all is well\n");
}

#[tokio::test]
async fn we_call_python_with_all_types_and_read_its_faults() {
    let mut python = Command::new("python3")
        .args(["-c", SERVER])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("python3 is needed for this test");
    let mut lines = BufReader::new(python.stdout.take().unwrap()).lines();
    let port = soon(lines.next_line()).await.unwrap().unwrap();
    let client = Client::new(ClientConfig::default());
    let url = format!("http://127.0.0.1:{port}/RPC2");
    // Python's server closes each connection, as HTTP/1.0 has it.
    let invoker = client.invoker(&url, 7, None, "e-7").unwrap();

    let types = soon(invoker.invoke(Call::new("types", all_types()))).await;
    let names = "NoneType bool bool int int float float float str str bytes datetime list dict";
    let names = names.split(' ').map(Data::from).collect();
    assert_eq!(types.unwrap(), Data::Array(names));

    // Python's server reads i8, but cannot write it.
    let mut values = all_types();
    values.retain(|value| *value != Data::Int(i64::MAX));
    let back = soon(invoker.invoke(Call::new("echo", values.clone()))).await;
    assert_eq!(back.unwrap(), Data::Array(values));
    let wide = soon(invoker.invoke(Call::new("echo", vec![i64::MAX.into()]))).await;
    let wide = wide.unwrap_err();
    assert_eq!(
        wide.fault().and_then(|f| f.class.as_deref()),
        Some("OverflowError"),
        "{wide}"
    );

    let error = soon(invoker.invoke(Call::new("fail", vec![]))).await;
    let error = error.unwrap_err();
    let fault = error.fault().expect("a fault");
    assert_eq!(fault.code, 1);
    assert_eq!(fault.class.as_deref(), Some("ValueError"));
    assert_eq!(fault.message, "no: such");

    python.kill().await.unwrap();
}
