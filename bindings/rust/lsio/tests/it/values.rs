use crate::{context, Data};
use lsio::{files, ArrayValue, Script, Value};
use proptest::prelude::*;

/// What a script that gives back its parameter makes of a value.
fn round_trip(script: &Script, v: Value) -> Value {
    let job = context().job(script).param("v", Value::from([("v", v)]));
    let summary = job.submit().unwrap().wait().unwrap();
    summary.value().unwrap().clone()
}

fn echo(data: &Data) -> Script {
    let text = format!(
        "local lsio = require 'lsio'
         return lsio.job {{ source = lsio.files({:?}), params = {{ v = {{ {{}} }} }}, state = function() return {{}} end,
           transform = function(c, s, p) s.v = p.v.v end, reduce = function(a, b) return a end }}",
        data.file(0).to_str().unwrap()
    );
    Script::new(&context(), text).unwrap()
}

/// Lua has no difference between whole numbers and others below 2^53.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Double(a), Value::Double(b)) => a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::List(a), Value::Map(b)) | (Value::Map(b), Value::List(a)) => a.is_empty() && b.is_empty(),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(&a.0, &b.0) && same(&a.1, &b.1))
        }
        _ if a.as_f64().is_some() && b.as_f64().is_some() => {
            a.as_i64().is_some() && a.as_i64() == b.as_i64() || a.as_f64() == b.as_f64()
        }
        _ => a == b,
    }
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<u64>().prop_map(Value::Uint),
        any::<f64>().prop_map(Value::Double),
        any::<Vec<u8>>().prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
            prop::collection::btree_map(any::<Vec<u8>>(), inner, 0..6)
                .prop_map(|m| Value::Map(m.into_iter().map(|(k, v)| (Value::Bytes(k), v)).collect())),
        ]
    })
}

#[test]
fn values_come_back_from_lua_as_they_were() {
    let data = Data::new(1, 10);
    let script = echo(&data);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: if std::env::var_os("LSIO_STRESS").is_some() { 2000 } else { 100 },
        failure_persistence: None,
        ..Default::default()
    });
    runner
        .run(&values(), |v| {
            let back = round_trip(&script, v.clone());
            prop_assert!(same(back.get("v").unwrap(), &v), "{back:?}");
            Ok(())
        })
        .unwrap();
}

#[test]
fn arrays_both_ways() {
    let data = Data::new(1, 10);
    let job = context()
        .job(files(data.file(0)))
        .param("table", vec![1i16, -2, 3])
        .param("grid", Value::Array(ArrayValue::new(vec![0.5f64; 6], &[2, 3]).unwrap()))
        .lua_state("double t[3]; int64_t i; uint64_t u;")
        .reduce("sum")
        .lua(
            "function(c, s, p)
               for i = 0, 2 do s.t[i] = s.t[i] + p.table[i] + p.grid[i + 3] end
               s.i = -2LL ^ 62
               s.u = 0xffffffffffffffffULL
             end",
        );
    let summary = job.submit().unwrap().wait().unwrap();
    let value = summary.value().unwrap().clone();
    drop(summary);
    assert_eq!(value.get("t").unwrap().as_slice::<f64>().unwrap(), [1.5, -1.5, 3.5]);
    assert_eq!(value.get("u"), Some(&Value::Uint(u64::MAX)));
    let Some(Value::Array(t)) = value.get("t") else { panic!("{value:?}") };
    assert_eq!((t.shape(), t.as_bytes().len()), (vec![3], 24));
    assert!(t.as_slice::<f32>().is_err());
    assert!(ArrayValue::new(vec![1u8], &[2]).is_err());
}

#[test]
fn what_is_too_deep_is_refused() {
    let mut v = Value::Nil;
    for _ in 0..100 {
        v = Value::List(vec![v]);
    }
    assert!(context().job(files("x")).param("v", v).submit().is_err());
}

#[cfg(feature = "serde")]
#[test]
fn values_and_serde() {
    #[derive(serde::Deserialize, PartialEq, Debug)]
    struct State {
        n: u32,
        mean: f64,
        name: String,
        counts: Vec<f64>,
        none: Option<u8>,
        pair: (i64, bool),
    }
    let value = Value::from([
        ("n", Value::from(3)),
        ("mean", 0.5.into()),
        ("name", "x".into()),
        ("counts", vec![1f64, 2.0].into()),
        ("none", Value::Nil),
        ("pair", vec![Value::from(-1), true.into()].into()),
    ]);
    let text = r#"{"n":3,"mean":0.5,"name":"x","counts":[1.0,2.0],"none":null,"pair":[-1,true]}"#;
    assert_eq!(serde_json::to_string(&value).unwrap(), text);
    let back: Value = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&back).unwrap(), text);
    for v in [value, back] {
        let state: State = v.into_type().unwrap();
        let counts = vec![1.0, 2.0];
        let want = State { n: 3, mean: 0.5, name: "x".into(), counts, none: None, pair: (-1, true) };
        assert_eq!(state, want);
    }
    assert!(Value::from(3).into_type::<State>().is_err());
}
