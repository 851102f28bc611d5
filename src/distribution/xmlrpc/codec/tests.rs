use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::interface::DateTime;

/// A document as Python's `xmlrpc.client.dumps(..., allow_none=True)` writes
/// it, with all types.
const PYTHON_CALL: &str = "<?xml version='1.0'?>
<methodCall>
<methodName>1.foo</methodName>
<params>
<param>
<value><double>1e-07</double></value>
</param>
<param>
<value><string>a&lt;b&gt;&amp;\"
 c</string></value>
</param>
<param>
<value><base64>
YWJjYWJjYWJjYWJjYWJjYWJjYWJjYWJjYWJjYWJjYWJjYWJjYWJjYWJjYWJjYWJjYWJjYWJjYWJj
YWJjYWJj
</base64></value>
</param>
<param>
<value><dateTime.iso8601>20260102T03:04:05</dateTime.iso8601></value>
</param>
<param>
<value><boolean>1</boolean></value>
</param>
<param>
<value><nil/></value></param>
<param>
<value><array><data>
</data></array></value>
</param>
<param>
<value><struct>
</struct></value>
</param>
<param>
<value><struct>
<member>
<name>a b</name>
<value><array><data>
<value><int>-1</int></value>
</data></array></value>
</member>
</struct></value>
</param>
</params>
</methodCall>
";

fn one(value: &str) -> Result<Data, ReadError> {
    let document = format!(
        "<?xml version='1.0'?><methodResponse><params><param>{value}</param></params></methodResponse>"
    );
    match read_response(document.as_bytes(), DEFAULT_DEPTH)? {
        Response::Value(data) => Ok(data),
        Response::Fault { text, .. } => panic!("a fault: {text}"),
    }
}

fn members<const N: usize>(members: [(&str, Data); N]) -> Data {
    Data::Struct(members.map(|(name, value)| (name.to_owned(), value)).into())
}

fn written(data: &Data) -> String {
    let document = write_response(data, DEFAULT_DEPTH).unwrap();
    let start = document.find("<value>").unwrap();
    let end = document.rfind("</param>").unwrap();
    document[start..end].to_owned()
}

#[test]
fn a_call_of_python_with_all_types_is_read() {
    let request = read_request(PYTHON_CALL.as_bytes(), DEFAULT_DEPTH).unwrap();
    assert_eq!(request.method, "1.foo");
    assert_eq!(
        request.params,
        [
            Data::Double(1e-7),
            Data::from("a<b>&\"\n c"),
            Data::Bytes(b"abc".repeat(21)),
            Data::DateTime("20260102T03:04:05".parse().unwrap()),
            Data::Bool(true),
            Data::Nil,
            Data::Array(vec![]),
            Data::Struct(BTreeMap::new()),
            members([("a b", Data::Array(vec![Data::Int(-1)]))]),
        ]
    );
}

#[test]
fn answers_of_python_are_read() {
    let nil = "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n\
               <value><nil/></value></param>\n</params>\n</methodResponse>\n";
    assert_eq!(
        read_response(nil.as_bytes(), 1).unwrap(),
        Response::Value(Data::Nil)
    );
    let fault = "<?xml version='1.0'?>\n<methodResponse>\n<fault>\n<value><struct>\n<member>\n\
                 <name>faultCode</name>\n<value><int>1</int></value>\n</member>\n<member>\n\
                 <name>faultString</name>\n<value><string>&lt;class 'X'&gt;:m</string></value>\n\
                 </member>\n</struct></value>\n</fault>\n</methodResponse>\n";
    assert_eq!(
        read_response(fault.as_bytes(), 1).unwrap(),
        Response::Fault {
            code: 1,
            text: "<class 'X'>:m".to_owned()
        }
    );
}

#[test]
fn values_are_read_in_all_their_spellings() {
    for (wire, data) in [
        ("<value>  a b\n</value>", Data::from("  a b\n")),
        ("<value/>", Data::from("")),
        ("<value><string/></value>", Data::from("")),
        (
            "<value>\n <string> x </string>\n</value>",
            Data::from(" x "),
        ),
        ("<value>a<!-- no -->b</value>", Data::from("ab")),
        (
            "<value><string><![CDATA[<&>]]>&#x41;&#66;</string></value>",
            Data::from("<&>AB"),
        ),
        (
            "<value><string>a\r\nb&#13;c</string></value>",
            Data::from("a\nb\rc"),
        ),
        ("<value><i1>-128</i1></value>", Data::Int(-128)),
        ("<value><i2>7</i2></value>", Data::Int(7)),
        ("<value><i4> +7\n</i4></value>", Data::Int(7)),
        (
            "<value><ex:i8 xmlns:ex='x'>9223372036854775807</ex:i8></value>",
            Data::Int(i64::MAX),
        ),
        ("<value a='1'><int b=\"2\">7</int></value>", Data::Int(7)),
        ("<value><boolean>True</boolean></value>", Data::Bool(true)),
        ("<value><boolean>0</boolean></value>", Data::Bool(false)),
        (
            "<value><double>-1.5e3</double></value>",
            Data::Double(-1500.0),
        ),
        (
            "<value><double>-inf</double></value>",
            Data::Double(f64::NEG_INFINITY),
        ),
        (
            "<value><ex:float>Infinity</ex:float></value>",
            Data::Double(f64::INFINITY),
        ),
        ("<value><ex:nil/></value>", Data::Nil),
        ("<value><nil> </nil></value>", Data::Nil),
        (
            "<value><base64>\r\n YW \r\n Jj </base64></value>",
            Data::Bytes(b"abc".to_vec()),
        ),
        (
            "<value><base64>YQ</base64></value>",
            Data::Bytes(b"a".to_vec()),
        ),
        (
            "<value><dateTime.iso8601>1998-07-17T14:08:55Z</dateTime.iso8601></value>",
            Data::DateTime("19980717T14:08:55Z".parse().unwrap()),
        ),
        (
            "<value><struct><member><name>a</name><value>1</value></member>\
             <member><name>a</name><value>2</value></member></struct></value>",
            members([("a", Data::from("2"))]),
        ),
    ] {
        assert_eq!(one(wire).as_ref(), Ok(&data), "{wire}");
    }
    let nan = one("<value><double>nan</double></value>").unwrap();
    assert!(matches!(nan, Data::Double(number) if number.is_nan()));
}

#[test]
fn an_answer_without_a_value_is_nil() {
    let empty = b"<methodResponse><params/></methodResponse>";
    assert_eq!(read_response(empty, 1).unwrap(), Response::Value(Data::Nil));
}

#[test]
fn a_call_may_leave_out_its_parameters() {
    let request =
        read_request(b"<methodCall><methodName>1.a</methodName></methodCall>", 1).unwrap();
    assert_eq!(request.params, []);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (wire, message) in [
        ("<value><int>x</int></value>", "params[0]: <int> 'x'"),
        (
            "<value><int>9223372036854775808</int></value>",
            "too large to fit",
        ),
        ("<value><int></int></value>", "<int> ''"),
        ("<value><boolean>2</boolean></value>", "not 0 or 1"),
        ("<value><base64>Y</base64></value>", "<base64>"),
        (
            "<value><dateTime.iso8601>soon</dateTime.iso8601></value>",
            "'soon'",
        ),
        ("<value><nil>x</nil></value>", "<nil> is not empty"),
        ("<value><date>x</date></value>", "<date> is no type"),
        ("<value>x<int>1</int></value>", "the text 'x' before <int>"),
        (
            "<value><int>1</int>x</value>",
            "params[0]: expected only tags here, found the text 'x'",
        ),
        (
            "<value><int>1</int><int>1</int></value>",
            "expected </value>, found <int>",
        ),
        ("<value><array/></value>", "expected <data>"),
        (
            "<value><struct><member><name>a</name><value><array><data><value/><value>\
             <struct><member><name>b</name><value><int>?</int></value></member></struct>\
             </value></data></array></value></member></struct></value>",
            "params[0].a[1].b: <int> '?'",
        ),
        (
            "<value><struct><member><value/></member></struct></value>",
            "expected <name>, found <value>",
        ),
        ("<value>&nbsp;</value>", "unknown entity '&nbsp;'"),
        ("<value>&#1;</value>", "U+0001"),
        ("<value>\u{1}</value>", "U+0001"),
        ("<value>&</value>", "not well-formed"),
        ("<value></valu>", "not well-formed"),
        ("<value>", "not well-formed"),
        ("", "expected <value>, found </param>"),
        (
            "<value/></param><param><value/>",
            "expected one <param> at most, found 2",
        ),
    ] {
        let error = one(wire).expect_err(wire).to_string();
        assert!(error.contains(message), "{wire}: {error}");
        assert!(error.starts_with("byte "), "{wire}: {error}");
    }
}

#[test]
fn an_offset_points_at_the_element() {
    let document = b"<methodResponse><params><param><value><int>x</int>";
    let error = read_response(document, 1).unwrap_err();
    assert!(
        error.to_string().starts_with("byte 38, params[0]"),
        "{error}"
    );
}

#[test]
fn documents_that_are_no_xml_rpc_are_refused() {
    for document in [
        "",
        "   ",
        "hello",
        "<html/>",
        "<methodResponse/>",
        "<methodCall/>",
        "<methodCall><methodName>a</methodName>",
        "<methodCall><methodName>a</methodName></methodCall>x",
        "<methodCall><methodName>a</methodName></methodCall><a/>",
        "<methodCall><methodName>a<b/></methodName></methodCall>",
        "<methodCall><methodName>a</methodName><params><value/></params></methodCall>",
        "<methodCall><methodName>a</methodName><params/><params/></methodCall>",
    ] {
        assert!(read_request(document.as_bytes(), 9).is_err(), "{document}");
        assert!(read_response(document.as_bytes(), 9).is_err(), "{document}");
    }
}

#[test]
fn a_document_cut_anywhere_is_an_error() {
    let whole = PYTHON_CALL.trim_end();
    for end in 0..whole.len() {
        assert!(read_request(&whole.as_bytes()[..end], 9).is_err(), "{end}");
    }
}

#[test]
fn a_document_type_definition_is_refused() {
    let bomb = "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'aaaa'>]>\
                <methodCall><methodName>&a;</methodName></methodCall>";
    let error = read_request(bomb.as_bytes(), 9).unwrap_err();
    assert_eq!(error, ReadError::Dtd { offset: 21 });
}

#[test]
fn other_encodings_are_refused_unless_the_text_is_ascii() {
    let head = "<?xml version='1.0' encoding='ISO-8859-1'?><methodCall><methodName>";
    let tail = "</methodName></methodCall>";
    assert!(read_request(format!("{head}a{tail}").as_bytes(), 1).is_ok());
    let declared = read_request(format!("{head}\u{e9}{tail}").as_bytes(), 1).unwrap_err();
    assert!(declared.to_string().contains("ISO-8859-1"), "{declared}");
    let mut latin = head.as_bytes().to_vec();
    latin.push(0xe9);
    let error = read_request(&latin, 1).unwrap_err();
    assert!(matches!(error, ReadError::Encoding { offset, .. } if offset == head.len() as u64));
}

#[test]
fn a_fault_without_its_members_is_refused() {
    for inner in [
        "<int>1</int>",
        "<struct/>",
        "<struct><member><name>faultCode</name><value><int>1</int></value></member></struct>",
        "<struct><member><name>faultString</name><value>x</value></member></struct>",
    ] {
        let document =
            format!("<methodResponse><fault><value>{inner}</value></fault></methodResponse>");
        let error = read_response(document.as_bytes(), 9).unwrap_err();
        assert!(error.to_string().contains("fault"), "{error}");
        assert!(error.is_structure());
    }
}

fn nested(depth: usize) -> Data {
    (0..depth).fold(Data::Int(1), |inner, level| match level % 2 {
        0 => Data::Array(vec![inner]),
        _ => members([("m", inner)]),
    })
}

#[test]
fn nesting_is_limited_both_ways() {
    let document = write_response(&nested(3), 3).unwrap();
    assert_eq!(
        read_response(document.as_bytes(), 3),
        Ok(Response::Value(nested(3)))
    );
    let error = read_response(document.as_bytes(), 2).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("params[0][0].m: nested deeper than the limit of 2"),
        "{error}"
    );
    let error = write_response(&nested(3), 2).unwrap_err();
    assert_eq!(
        error.to_string(),
        "result[0].m: nested deeper than the limit of 2"
    );
}

#[test]
fn no_depth_overflows_the_stack() {
    let deep = format!(
        "<methodCall><methodName>a</methodName><params><param>{}",
        "<value><array><data>".repeat(200_000)
    );
    let error = read_request(deep.as_bytes(), usize::MAX).unwrap_err();
    assert!(matches!(
        error,
        ReadError::TooDeep {
            limit: MAX_DEPTH,
            ..
        }
    ));
    let document = write_response(&nested(MAX_DEPTH), usize::MAX).unwrap();
    assert!(read_response(document.as_bytes(), usize::MAX).is_ok());
    assert!(write_response(&nested(MAX_DEPTH + 1), usize::MAX).is_err());
}

#[test]
fn values_are_written_in_the_narrowest_form() {
    for (data, wire) in [
        (Data::Int(2_147_483_647), "<int>2147483647</int>"),
        (Data::Int(2_147_483_648), "<i8>2147483648</i8>"),
        (Data::Int(-2_147_483_649), "<i8>-2147483649</i8>"),
        (Data::Double(0.1), "<double>0.1</double>"),
        (Data::Double(1e-7), "<double>0.0000001</double>"),
        (Data::Double(1e20), "<double>100000000000000000000</double>"),
        (Data::Double(f64::NAN), "<double>NaN</double>"),
        (
            Data::Double(f64::NEG_INFINITY),
            "<double>-Infinity</double>",
        ),
        (
            Data::from("<a> & \r\n ]]>"),
            "<string>&lt;a&gt; &amp; &#13;\n ]]&gt;</string>",
        ),
        (Data::Nil, "<nil/>"),
        (Data::Bytes(b"abcd".to_vec()), "<base64>YWJjZA==</base64>"),
    ] {
        assert_eq!(written(&data), format!("<value>{wire}</value>"));
    }
}

#[test]
fn characters_that_xml_cannot_carry_are_refused_with_their_place() {
    let data = members([(
        "a",
        Data::Array(vec![Data::from("x"), Data::from("ok\u{1}")]),
    )]);
    let error = write_response(&data, 9).unwrap_err();
    assert_eq!(
        error.to_string(),
        "result.a[1]: character 2 is U+0001, which XML cannot carry: send it as bytes"
    );
    assert!(write_response(&members([("\u{0}", Data::Nil)]), 9).is_err());
    assert!(write_request("a\u{FFFF}", &[], 9).is_err());
    let error = write_request("a", &[Data::Nil, Data::from("\u{B}")], 9).unwrap_err();
    assert!(error.to_string().starts_with("params[1]: "), "{error}");
}

#[test]
fn a_fault_gets_through_whatever_its_text() {
    let document = write_fault(-7, "a\u{0}<b>");
    assert_eq!(
        read_response(document.as_bytes(), 1).unwrap(),
        Response::Fault {
            code: -7,
            text: "a\u{FFFD}<b>".to_owned()
        }
    );
}

#[test]
fn dates_without_a_written_form_are_refused() {
    let civil = jiff::civil::date(-5, 1, 1).at(0, 0, 0, 0);
    let error = write_response(&Data::DateTime(DateTime::new(civil)), 1).unwrap_err();
    assert!(matches!(error, WriteError::Date { .. }), "{error}");
}

/// Values that both this crate and `dxr` know.
fn common() -> (Data, dxr::Value) {
    use dxr::{TryToValue, Value};
    let inner = [("x".to_owned(), -5), ("y & z".to_owned(), 6)];
    let value = Value::try_from_parts(&inner);
    let data = Data::Array(vec![
        Data::Int(1),
        Data::Bool(true),
        Data::from("a <b> & 'c' \u{e9}\u{1F600}"),
        Data::Double(-2.5),
        Data::Bytes(vec![0, 255, 7]),
        Data::Struct(inner.into_iter().map(|(k, v)| (k, Data::Int(v))).collect()),
        Data::from(""),
    ]);
    let value = (
        1,
        true,
        "a <b> & 'c' \u{e9}\u{1F600}",
        -2.5,
        vec![0_u8, 255, 7],
        value,
        "",
    )
        .try_to_value()
        .unwrap();
    (data, value)
}

trait FromParts: Sized {
    fn try_from_parts(parts: &[(String, i64)]) -> Self;
}

impl FromParts for dxr::Value {
    fn try_from_parts(parts: &[(String, i64)]) -> Self {
        let map: std::collections::HashMap<String, i32> = parts
            .iter()
            .map(|(name, number)| (name.clone(), i32::try_from(*number).unwrap()))
            .collect();
        dxr::TryToValue::try_to_value(&map).unwrap()
    }
}

#[test]
fn dxr_reads_what_is_written() {
    let (data, value) = common();
    let call = write_request("1.a", std::slice::from_ref(&data), 9).unwrap();
    let read = dxr::MethodCall::from_xml(&call).unwrap();
    assert_eq!(read.name, "1.a");
    assert_eq!(read.params, std::slice::from_ref(&value));
    let response = write_response(&data, 9).unwrap();
    assert_eq!(
        dxr::MethodResponse::from_xml(&response).unwrap().value,
        value
    );
    let fault = dxr::FaultResponse::from_xml(&write_fault(3, "no & <no>")).unwrap();
    assert_eq!(fault.fault.code(), 3);
    assert_eq!(fault.fault.string(), "no & <no>");
}

#[test]
fn what_dxr_writes_is_read() {
    let (data, value) = common();
    let call = dxr::MethodCall {
        name: "1.a".into(),
        params: vec![value.clone()],
    };
    for document in [call.to_xml().unwrap(), call.to_xml_pretty().unwrap()] {
        let read = read_request(document.as_bytes(), 9).unwrap();
        assert_eq!(read.method, "1.a");
        assert_eq!(read.params, std::slice::from_ref(&data), "{document}");
    }
    let response = dxr::MethodResponse { value }.to_xml().unwrap();
    assert_eq!(
        read_response(response.as_bytes(), 9),
        Ok(Response::Value(data))
    );
}

fn text() -> impl Strategy<Value = String> {
    any::<String>().prop_map(|text| text.chars().filter(|c| is_xml_char(*c)).collect())
}

fn date() -> impl Strategy<Value = DateTime> {
    (0..=9999_i16, 1..=12_i8, 1..=28_i8, 0..86_400_i32).prop_map(|(year, month, day, second)| {
        let at = |n: i32| i8::try_from(n).unwrap();
        let time = jiff::civil::time(at(second / 3600), at(second / 60 % 60), at(second % 60), 0);
        DateTime::new(jiff::civil::date(year, month, day).to_datetime(time))
    })
}

fn data() -> impl Strategy<Value = Data> {
    let leaf = prop_oneof![
        Just(Data::Nil),
        any::<bool>().prop_map(Data::Bool),
        any::<i64>().prop_map(Data::Int),
        any::<f64>()
            .prop_filter("NaN is not equal to itself", |number| !number.is_nan())
            .prop_map(Data::Double),
        text().prop_map(Data::String),
        any::<Vec<u8>>().prop_map(Data::Bytes),
        date().prop_map(Data::DateTime),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Data::Array),
            prop::collection::btree_map(text(), inner, 0..5).prop_map(Data::Struct),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(method in text(), params in prop::collection::vec(data(), 0..4)) {
        let document = write_request(&method, &params, DEFAULT_DEPTH).unwrap();
        let read = read_request(document.as_bytes(), DEFAULT_DEPTH).unwrap();
        prop_assert_eq!(read.method, method.trim());
        prop_assert_eq!(read.params, params);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
        let _ = read_request(&bytes, 9);
        let _ = read_response(&bytes, 9);
    }

    #[test]
    fn no_damage_makes_the_reader_panic(at in 0..PYTHON_CALL.len(), byte: u8) {
        let mut bytes = PYTHON_CALL.as_bytes().to_vec();
        bytes[at] = byte;
        let _ = read_request(&bytes, 9);
    }
}
