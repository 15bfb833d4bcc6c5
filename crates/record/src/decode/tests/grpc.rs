//! KServe v2 over gRPC.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use prost::Message;

use super::messages::{
    Choice, InferParameter, InferRequestedOutputTensor, InferTensor, InferTensorContents, ModelInferRequest,
    ModelInferResponse,
};
use super::*;

pub(super) const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";

/// A message in its frame.
pub(super) fn frame(compressed: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[compressed], &length[..], message].concat()
}

fn tensor(name: &str, datatype: &str, shape: &[i64]) -> InferTensor {
    let (name, datatype) = (name.to_owned(), datatype.to_owned());
    InferTensor { name, datatype, shape: shape.to_vec(), ..InferTensor::default() }
}

fn with(tensor: InferTensor, fill: impl FnOnce(&mut InferTensorContents)) -> InferTensor {
    let mut contents = InferTensorContents::default();
    fill(&mut contents);
    InferTensor { contents: Some(contents), ..tensor }
}

fn asks(inputs: Vec<InferTensor>) -> ModelInferRequest {
    ModelInferRequest { model_name: "fraud".to_owned(), inputs, ..ModelInferRequest::default() }
}

fn raw(inputs: Vec<InferTensor>, contents: &[&[u8]]) -> ModelInferRequest {
    let raw_input_contents = contents.iter().map(|bytes| bytes.to_vec()).collect();
    ModelInferRequest { raw_input_contents, ..asks(inputs) }
}

fn decoded(body: &[u8]) -> Result<Vec<String>, &'static str> {
    let mut into = Decoded::new();
    match plain().decode_request(INFER.as_bytes(), body, &mut into) {
        Ok(()) => Ok(shown(into.features())),
        Err(error) => {
            assert_eq!((into.n_cells(), into.feature_rows()), (0, 0));
            Err(error.kind.as_str())
        }
    }
}

fn read(request: &ModelInferRequest) -> Result<Vec<String>, &'static str> {
    decoded(&frame(0, &request.encode_to_vec()))
}

#[test]
fn an_exchange() {
    let inputs = vec![
        with(tensor("amount", "FP64", &[2]), |c| c.fp64_contents = vec![12.5, 3.0]),
        with(tensor("country", "BYTES", &[2, 1]), |c| {
            c.bytes_contents = vec![b"DE".to_vec(), Vec::new()];
        }),
    ];
    let parameter = |choice| InferParameter { choice: Some(choice) };
    let request = ModelInferRequest {
        id: "r-42".to_owned(),
        parameters: [("tenant".to_owned(), parameter(Choice::String("eu".to_owned())))].into(),
        outputs: vec![InferRequestedOutputTensor { name: "score".to_owned(), ..Default::default() }],
        ..asks(inputs)
    };
    let answer = ModelInferResponse {
        model_name: "fraud".to_owned(),
        parameters: [("n".to_owned(), parameter(Choice::Int64(-1)))].into(),
        outputs: vec![tensor("score", "FP32", &[2, 1])],
        raw_output_contents: vec![[0.25_f32, 0.5].iter().flat_map(|n| n.to_le_bytes()).collect()],
        ..ModelInferResponse::default()
    };
    let mut exchange = exchange(INFER, "", 200, "");
    exchange.request = Body::complete(frame(0, &request.encode_to_vec()));
    exchange.response = Body::complete(frame(0, &answer.encode_to_vec()));
    for content_type in [None, Some("application/grpc"), Some("application/grpc+proto")] {
        exchange.request.content_type = content_type.map(bytes::Bytes::from);
        exchange.response.content_type = exchange.request.content_type.clone();
        let (features, predictions, problem) = decode(&exchange);
        assert_eq!(features, "0 amount 12.5, 0 country `DE`, 1 amount 3, 1 country ``");
        assert_eq!((predictions.as_str(), problem), ("0 prediction 0.25, 1 prediction 0.5", None));
    }
    exchange.response.content_type = Some("text/html".into());
    assert_eq!(decode(&exchange).2, Some("unrecognised"));
}

#[test]
fn every_datatype_in_contents() {
    type Fill = fn(&mut InferTensorContents);
    let cases: [(&str, Fill, &str); 13] = [
        ("BOOL", |c| c.bool_contents = vec![true, false], "0 a `true`, 1 a `false`"),
        ("UINT8", |c| c.uint_contents = vec![255, 7], "0 a 255, 1 a 7"),
        ("UINT16", |c| c.uint_contents = vec![65_535, 7], "0 a 65535, 1 a 7"),
        ("UINT32", |c| c.uint_contents = vec![u32::MAX, 7], "0 a 4294967295, 1 a 7"),
        ("UINT64", |c| c.uint64_contents = vec![1 << 60, 7], "0 a 1152921504606847000, 1 a 7"),
        ("INT8", |c| c.int_contents = vec![-1, 7], "0 a -1, 1 a 7"),
        ("INT16", |c| c.int_contents = vec![-300, 7], "0 a -300, 1 a 7"),
        ("INT32", |c| c.int_contents = vec![i32::MIN, 7], "0 a -2147483648, 1 a 7"),
        ("INT64", |c| c.int64_contents = vec![-5, 7], "0 a -5, 1 a 7"),
        ("FP32", |c| c.fp32_contents = vec![0.5, f32::NAN], "0 a 0.5, 1 a -"),
        ("fp64", |c| c.fp64_contents = vec![0.1, f64::INFINITY], "0 a 0.1, 1 a -"),
        ("BYTES", |c| c.bytes_contents = vec!["Zoë".into(), vec![]], "0 a `Zoë`, 1 a ``"),
        ("FP16", |c| c.uint_contents = vec![1, 2], "error shape"),
    ];
    for (datatype, fill, expected) in cases {
        check(read(&asks(vec![with(tensor("a", datatype, &[2]), fill)])), expected);
    }
}

#[test]
fn every_datatype_raw() {
    let text = [&4_u32.to_le_bytes()[..], "Zoë".as_bytes(), &0_u32.to_le_bytes()].concat();
    for (datatype, bytes, expected) in [
        ("BOOL", vec![1, 0], "0 a `true`, 1 a `false`"),
        ("UINT8", vec![255, 7], "0 a 255, 1 a 7"),
        ("INT8", vec![255, 7], "0 a -1, 1 a 7"),
        ("INT16", vec![255, 255, 1, 0], "0 a -1, 1 a 1"),
        ("FP16", vec![0, 0x3c, 0, 0xc5], "0 a 1, 1 a -5"),
        ("BF16", vec![0xc0, 0x3f, 0xc0, 0x7f], "0 a 1.5, 1 a -"),
        ("FP32", [0.5_f32, -2.0].iter().flat_map(|n| n.to_le_bytes()).collect(), "0 a 0.5, 1 a -2"),
        ("INT64", [-5_i64, 1].iter().flat_map(|n| n.to_le_bytes()).collect(), "0 a -5, 1 a 1"),
        ("BYTES", text, "0 a `Zoë`, 1 a ``"),
    ] {
        check(read(&raw(vec![tensor("a", datatype, &[2])], &[&bytes])), expected);
    }
}

#[test]
fn fields_come_in_any_order_packed_or_not() {
    // raw_input_contents before inputs; in the tensor contents before shape, shape unpacked, name last.
    let head = |number: u8| number << 3 | 2;
    let tensor = [&[head(2), 5][..], b"UINT8", &[3 << 3, 1, 3 << 3, 2], &[head(1), 1], b"a"].concat();
    let body = [&[head(7), 2, 8, 9][..], &[head(5), u8::try_from(tensor.len()).unwrap()], &tensor].concat();
    check(decoded(&frame(0, &body)), "0 a.0 8, 0 a.1 9");
    // fp32_contents: one that is not packed, then two that are.
    let one = [&[6 << 3 | 5][..], &1.0_f32.to_le_bytes()].concat();
    let two = [&[head(6), 8][..], &2.0_f32.to_le_bytes(), &3.0_f32.to_le_bytes()].concat();
    let tensor = [
        &[head(5), 5][..],
        &one,
        &[head(5), 10],
        &two,
        &[head(3), 1, 3],
        &[head(2), 4],
        b"FP32",
        &[head(1), 1],
        b"a",
        &[15 << 3, 0],
    ]
    .concat();
    let body = [&[head(5), u8::try_from(tensor.len()).unwrap()], &tensor[..]].concat();
    check(decoded(&frame(0, &body)), "0 a 1, 1 a 2, 2 a 3");
}

#[test]
fn names_and_rows_are_those_of_json() {
    let mut decoder = Decoder::new(named(Protocol::KserveV2Grpc, &["amount", "age", "n"]));
    let mut into = Decoded::new();
    let request = raw(vec![tensor("features", "UINT8", &[1, 3])], &[&[1, 2, 3]]);
    decoder.decode_request(b"/any/path", &frame(0, &request.encode_to_vec()), &mut into).unwrap();
    assert_eq!(shown(into.features()).join(", "), "0 age 2, 0 amount 1, 0 n 3");
    // Tensors that disagree on dimension 0 are one row; one without dimensions has one value.
    let tensors = vec![tensor("a", "UINT8", &[2]), tensor("b", "UINT8", &[])];
    check(read(&raw(tensors, &[&[1, 2], &[3]])), "0 a.0 1, 0 a.1 2, 0 b 3");
    check(read(&raw(vec![tensor("a", "UINT8", &[0])], &[&[]])), "error empty");
    check(read(&asks(vec![])), "error empty");
    let twice = vec![tensor("a", "UINT8", &[1]), tensor("a", "UINT8", &[1])];
    check(read(&raw(twice, &[&[1], &[2]])), "error shape");
}

#[test]
fn contents_and_raw_never_mix_and_must_fit() {
    let filled = |shape: &[i64], n| with(tensor("a", "INT32", shape), |c| c.int_contents = vec![7; n]);
    let empty = || tensor("b", "UINT8", &[1]);
    for (request, expected) in [
        (raw(vec![filled(&[1], 1), empty()], &[&[1], &[2]]), "error shape"),
        (raw(vec![empty()], &[&[1], &[2]]), "error shape"),
        (raw(vec![empty(), filled(&[1], 0)], &[&[1]]), "error shape"),
        (raw(vec![empty()], &[&[1, 2]]), "error shape"),
        (raw(vec![empty()], &[&[]]), "error shape"),
        (asks(vec![empty()]), "error shape"),
        (asks(vec![filled(&[2], 1)]), "error shape"),
        (asks(vec![filled(&[-1], 1)]), "error shape"),
        (asks(vec![filled(&[i64::MAX, i64::MAX], 1)]), "error shape"),
        (asks(vec![filled(&[1; 17], 1)]), "error shape"),
        (asks(vec![with(tensor("a", "INT64", &[1]), |c| c.int_contents = vec![1])]), "error shape"),
        (asks(vec![with(tensor("a", "INT64", &[1]), |c| c.bytes_contents = vec![vec![]])]), "error shape"),
        (asks(vec![with(tensor("a", "FP8", &[1]), |c| c.int_contents = vec![1])]), "error binary_tensor"),
        (asks(vec![with(tensor("a", "", &[1]), |c| c.int_contents = vec![1])]), "error binary_tensor"),
        (asks(vec![with(tensor("a", "BYTES", &[1]), |c| c.bytes_contents = vec![vec![0xff]])]), "0 a -"),
        (asks(vec![filled(&[1; 16], 1)]), "0 a 7"),
    ] {
        check(read(&request), expected);
    }
}

#[test]
fn compressed_messages_are_inflated_up_to_the_limit() {
    let request = raw(vec![tensor("a", "UINT8", &[1])], &[&[7]]).encode_to_vec();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&request).unwrap();
    let gzip = gzip.finish().unwrap();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(&request).unwrap();
    check(decoded(&frame(1, &gzip)), "0 a 7");
    check(decoded(&frame(1, &zlib.finish().unwrap())), "0 a 7");
    check(decoded(&frame(1, &request)), "error content_encoding");
    check(decoded(&frame(1, &gzip[..gzip.len() - 9])), "error content_encoding");
    check(decoded(&frame(1, b"")), "error content_encoding");
    check(decoded(&frame(2, &request)), "error shape");
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(&vec![0; 9 << 20]).unwrap();
    check(decoded(&frame(1, &bomb.finish().unwrap())), "error inflated_too_long");
}

#[test]
fn frames_that_are_not_exactly_one_are_refused() {
    let one = frame(0, &raw(vec![tensor("a", "UINT8", &[1])], &[&[7]]).encode_to_vec());
    check(decoded(b""), "error empty");
    check(decoded(&frame(0, b"")), "error empty");
    for cut in 1..one.len() {
        check(decoded(&one[..cut]), "error truncated");
    }
    check(decoded(&[&one[..], &one].concat()), "error shape");
    check(decoded(&[&one[..], &[0]].concat()), "error shape");
    check(decoded(&[0, 0xff, 0xff, 0xff, 0xff, 1]), "error truncated");
}

#[test]
fn other_calls_are_no_inferences() {
    let mut call = exchange("/inference.GRPCInferenceService/ModelReady", "\0\0\0\0\0", 200, "\0\0\0\0\0");
    call.request.content_type = Some("application/grpc".into());
    // Not even looked at: a stream's body is mostly not whole.
    call.request.truncated = true;
    let mut into = Decoded::new();
    for protocol in [Protocol::Auto, Protocol::KserveV2Grpc] {
        let error = Decoder::new(spec(protocol)).decode(&call, &mut into).unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::NotInference);
    }
}

#[test]
fn paths_do_not_lead_into_a_message() {
    let mut by_path = spec(Protocol::Auto);
    by_path.features = extracts(&[("a", "$.a")]);
    let body = frame(0, &raw(vec![tensor("a", "UINT8", &[1])], &[&[7]]).encode_to_vec());
    let error = Decoder::new(by_path).decode_request(INFER.as_bytes(), &body, &mut Decoded::new());
    assert_eq!(error.unwrap_err().kind, DecodeErrorKind::NotJson);
}

#[test]
fn huge_counts_hit_the_limits_and_take_no_room() {
    let many = |n: usize| {
        with(tensor("a", "BOOL", &[i64::try_from(n).unwrap()]), |c| c.bool_contents = vec![true; n])
    };
    let one_value_tensors = (0..200_000).map(|_| tensor("", "UINT8", &[0])).collect();
    let long_name = "n".repeat(257);
    for (request, expected) in [
        (asks(vec![many(200_000)]), "error too_many_cells"),
        (raw(vec![tensor("a", "UINT8", &[200_000])], &[&vec![1; 200_000]]), "error too_many_cells"),
        (raw(vec![tensor("a", "BYTES", &[i64::MAX])], &[&[0; 64]]), "error shape"),
        (raw(vec![tensor("a", "BYTES", &[200_000])], &[&vec![0; 800_000]]), "error too_many_cells"),
        (raw(vec![tensor("a", "UINT8", &[20_000])], &[&vec![1; 20_000]]), "error too_many_rows"),
        (asks(one_value_tensors), "error too_many_cells"),
        (
            asks(vec![with(tensor(&long_name, "INT32", &[1]), |c| c.int_contents = vec![1])]),
            "error text_too_long",
        ),
    ] {
        let body = frame(0, &request.encode_to_vec());
        let mut decoder = plain();
        let mut into = Decoded::new();
        let found = decoder.decode_request(INFER.as_bytes(), &body, &mut into);
        assert_eq!(format!("error {}", found.unwrap_err().kind), expected);
        let Scratch { tensors, cells } = &decoder.tensors;
        let held = cells.capacity() * size_of::<CellValue>() + tensors.capacity() * size_of::<Tensor>();
        assert!(held <= 32 * body.len().max(1024), "{held} bytes for a body of {}", body.len());
        assert!(cells.capacity() <= 2 * 100_000 && tensors.capacity() <= 2 * 100_000);
    }
}

#[test]
fn a_message_within_itself_is_no_recursion() {
    // A tensor in a tensor in a tensor: fields of other meaning are not opened.
    let mut message = Vec::new();
    for _ in 0..1_000 {
        let mut outer = Vec::new();
        prost::encoding::bytes::encode(5, &message, &mut outer);
        message = outer;
    }
    check(decoded(&frame(0, &message)), "error binary_tensor");
}

/// Columns with their datatype: what is sent in JSON, in contents and raw.
mod same {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Clone, Debug)]
    enum Column {
        Bool(Vec<bool>),
        Int32(Vec<i32>),
        Int64(Vec<i64>),
        Uint64(Vec<u64>),
        Fp32(Vec<f32>),
        Fp64(Vec<f64>),
        Text(Vec<String>),
    }

    fn column(values: usize) -> impl Strategy<Value = Column> {
        fn of<T: Strategy>(values: usize, each: T) -> impl Strategy<Value = Vec<T::Value>> {
            prop::collection::vec(each, values..=values)
        }
        prop_oneof![
            of(values, any::<bool>()).prop_map(Column::Bool),
            of(values, any::<i32>()).prop_map(Column::Int32),
            of(values, any::<i64>()).prop_map(Column::Int64),
            of(values, any::<u64>()).prop_map(Column::Uint64),
            of(values, -1e30_f32..1e30).prop_map(Column::Fp32),
            of(values, -1e300..1e300).prop_map(Column::Fp64),
            of(values, any::<String>()).prop_map(Column::Text),
        ]
    }

    impl Column {
        fn datatype(&self) -> &'static str {
            match self {
                Self::Bool(_) => "BOOL",
                Self::Int32(_) => "INT32",
                Self::Int64(_) => "INT64",
                Self::Uint64(_) => "UINT64",
                Self::Fp32(_) => "FP32",
                Self::Fp64(_) => "FP64",
                Self::Text(_) => "BYTES",
            }
        }

        fn json(&self) -> Value {
            match self {
                Self::Bool(v) => json!(v),
                Self::Int32(v) => json!(v),
                Self::Int64(v) => json!(v),
                Self::Uint64(v) => json!(v),
                Self::Fp32(v) => v.iter().map(|n| f64::from(*n)).collect(),
                Self::Fp64(v) => json!(v),
                Self::Text(v) => json!(v),
            }
        }

        fn contents(&self) -> InferTensorContents {
            let mut c = InferTensorContents::default();
            match self.clone() {
                Self::Bool(v) => c.bool_contents = v,
                Self::Int32(v) => c.int_contents = v,
                Self::Int64(v) => c.int64_contents = v,
                Self::Uint64(v) => c.uint64_contents = v,
                Self::Fp32(v) => c.fp32_contents = v,
                Self::Fp64(v) => c.fp64_contents = v,
                Self::Text(v) => c.bytes_contents = v.into_iter().map(String::into_bytes).collect(),
            }
            c
        }

        fn raw(&self) -> Vec<u8> {
            match self {
                Self::Bool(v) => v.iter().map(|b| u8::from(*b)).collect(),
                Self::Int32(v) => v.iter().flat_map(|n| n.to_le_bytes()).collect(),
                Self::Int64(v) => v.iter().flat_map(|n| n.to_le_bytes()).collect(),
                Self::Uint64(v) => v.iter().flat_map(|n| n.to_le_bytes()).collect(),
                Self::Fp32(v) => v.iter().flat_map(|n| n.to_le_bytes()).collect(),
                Self::Fp64(v) => v.iter().flat_map(|n| n.to_le_bytes()).collect(),
                Self::Text(v) => v
                    .iter()
                    .flat_map(|t| [&u32::try_from(t.len()).unwrap().to_le_bytes()[..], t.as_bytes()].concat())
                    .collect(),
            }
        }
    }

    /// Rows, width, columns of so many values.
    fn columns() -> impl Strategy<Value = (i64, i64, Vec<Column>)> {
        (1_i64..5, 1_i64..4).prop_flat_map(|(rows, width)| {
            let values = usize::try_from(rows * width).unwrap();
            (Just(rows), Just(width), prop::collection::vec(column(values), 1..5))
        })
    }

    fn cells(path: &str, body: &[u8]) -> (Vec<String>, u32) {
        let mut into = Decoded::new();
        plain().decode_request(path.as_bytes(), body, &mut into).unwrap();
        (shown(into.features()), into.precision_loss())
    }

    proptest! {
        #[test]
        fn json_contents_and_raw_give_the_same_rows((rows, width, columns) in columns()) {
            let inputs: Vec<Value> = columns.iter().enumerate().map(|(at, column)| json!({
                "name": format!("c{at}"), "shape": [rows, width], "datatype": column.datatype(),
                "data": column.json(),
            })).collect();
            let expected = cells("/v2/models/m/infer", json!({ "inputs": inputs }).to_string().as_bytes());
            let tensors: Vec<_> = columns.iter().enumerate()
                .map(|(at, column)| tensor(&format!("c{at}"), column.datatype(), &[rows, width])).collect();
            let filled = tensors.iter().zip(&columns)
                .map(|(t, column)| InferTensor { contents: Some(column.contents()), ..t.clone() }).collect();
            let bytes: Vec<_> = columns.iter().map(Column::raw).collect();
            let bytes: Vec<_> = bytes.iter().map(Vec::as_slice).collect();
            for request in [asks(filled), raw(tensors.clone(), &bytes)] {
                prop_assert_eq!(cells(INFER, &frame(0, &request.encode_to_vec())), expected.clone());
            }
        }

        #[test]
        fn damaged_messages_are_read_or_refused(
            (rows, width, columns) in columns(), is_raw in any::<bool>(),
            at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<Option<prop::sample::Index>>(),
        ) {
            let tensors = columns.iter().enumerate().map(|(at, column)| InferTensor {
                contents: (!is_raw).then(|| column.contents()),
                ..tensor(&format!("c{at}"), column.datatype(), &[rows, width])
            }).collect();
            let bytes: Vec<_> = if is_raw { columns.iter().map(Column::raw).collect() } else { Vec::new() };
            let bytes: Vec<_> = bytes.iter().map(Vec::as_slice).collect();
            let mut message = raw(tensors, &bytes).encode_to_vec();
            let at = at.index(message.len());
            message[at] = byte;
            if let Some(cut) = cut {
                message.truncate(cut.index(message.len()));
            }
            let mut decoder = plain();
            let mut into = Decoded::new();
            let found = decoder.decode_request(INFER.as_bytes(), &frame(0, &message), &mut into);
            prop_assert_eq!(found.is_err(), into.n_cells() == 0);
            prop_assert!(decoder.tensors.cells.capacity() <= 2 * message.len() + 8);
            prop_assert!(into.text_bytes() <= 8 * message.len() + 64);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), side in any::<bool>()) {
            let mut into = Decoded::new();
            let mut decoder = plain();
            for body in [&bytes, &frame(0, &bytes), &frame(1, &bytes)] {
                if side {
                    drop(decoder.decode_request(INFER.as_bytes(), body, &mut into));
                } else {
                    drop(decoder.decode_response(INFER.as_bytes(), body, &mut into));
                }
            }
        }
    }
}
