//! Parameters, rows, dynamic statements, many rows at once.

use super::{ADD, TENANT, labels, make_things, put};
use crate::{Json, SqlBuilder, StoreError, Value, params, store_test};

crate::row! {
    /// One of each.
    #[derive(Debug, Clone, PartialEq)]
    struct Kinds {
        id: uuid::Uuid,
        whole: i64,
        small: Option<i16>,
        float: f64,
        flag: bool,
        words: String,
        bytes: Vec<u8>,
        document: Json<serde_json::Value>,
        absent: Option<String>,
    }
}

crate::statements! {
    PUT_KINDS [global] = "INSERT INTO kinds (id, whole, small, fraction, flag, words, bytes, document, absent) \
                          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    GET_KINDS [global] = "SELECT id, whole, small, fraction, flag, words, bytes, document, absent FROM kinds \
                          WHERE id = $1";
    BY_FLAG [global] = "SELECT whole FROM kinds WHERE flag = $1 ORDER BY whole";
    SWAP [global] = "UPDATE kinds SET whole = $2 WHERE id = $1 AND whole = $3";
    OUT_OF_ORDER [global] = "UPDATE kinds SET words = $3, whole = $2 WHERE id = $1";
    LITERALS [global] = "SELECT '$1 {lock} it''s', \"whole\", $1 FROM kinds WHERE id = $2 -- $3";
    SUMS [global] = "SELECT sum(whole), avg(whole), count(*) FROM kinds";
    ALL [global] = "SELECT whole FROM kinds WHERE flag = $1";
    RETURNING [global] = "UPDATE kinds SET whole = whole + 1 WHERE id = $1 RETURNING whole";
}

crate::inserts! {
    ADD_KINDS [global] = kinds(
        id uuid, whole int, small small, fraction float, flag bool, words text, bytes bytes, document json, absent text,
    ) "ON CONFLICT (id) DO NOTHING";
}

const TABLE: &str = "CREATE TABLE kinds (id {uuid} PRIMARY KEY, whole {int} NOT NULL, small {small}, \
    fraction {float} NOT NULL, flag {bool} NOT NULL, words {text} NOT NULL, bytes {bytes} NOT NULL, \
    document {json} NOT NULL, absent {text}) {strict}";

fn row(n: i64) -> Vec<Value> {
    let document = serde_json::json!({ "n": n, "list": [1, null, "x"] });
    params![
        uuid::Uuid::from_u128(n.unsigned_abs().into()),
        n,
        (n % 2 == 0).then_some(7_i16),
        1.5,
        n % 2 == 0,
        format!("wörds {n}"),
        vec![0_u8, 255, 7],
        document,
        None::<String>
    ]
    .to_vec()
}

fn expected(n: i64) -> Kinds {
    Kinds {
        id: uuid::Uuid::from_u128(n.unsigned_abs().into()),
        whole: n,
        small: (n % 2 == 0).then_some(7),
        float: 1.5,
        flag: n % 2 == 0,
        words: format!("wörds {n}"),
        bytes: vec![0, 255, 7],
        document: Json(serde_json::json!({ "n": n, "list": [1, null, "x"] })),
        absent: None,
    }
}

store_test!(all_kinds_come_back, |db| async move {
    db.script(TABLE).await;
    let store = db.store();
    for n in [0, -5, i64::MAX, 12] {
        store
            .write(move |tx| tx.execute(&PUT_KINDS, &row(n)))
            .await
            .unwrap();
        let id = uuid::Uuid::from_u128(n.unsigned_abs().into());
        let back: Kinds = store
            .read(move |tx| tx.query_one(&GET_KINDS, &params![id]))
            .await
            .unwrap();
        assert_eq!(back, expected(n));
    }
    let odd: Vec<i64> = store
        .read(|tx| tx.query(&BY_FLAG, &params![false]))
        .await
        .unwrap();
    assert_eq!(odd, [-5, i64::MAX]);
});

store_test!(many_rows_come_back, |db| async move {
    db.script(TABLE).await;
    let store = db.store();
    let rows: Vec<_> = (0..700).map(row).collect();
    let again = rows.clone();
    assert_eq!(
        store
            .write(move |tx| tx.insert_many(&ADD_KINDS, &rows))
            .await,
        Ok(700)
    );
    assert_eq!(
        store
            .write(move |tx| tx.insert_many(&ADD_KINDS, &again))
            .await,
        Ok(0),
        "the conflict clause works"
    );
    assert_eq!(
        store
            .write(|tx| tx.insert_many(&ADD_KINDS, &[] as &[Vec<Value>]))
            .await,
        Ok(0)
    );
    let short = store
        .write(|tx| tx.insert_many(&ADD_KINDS, &[params![1]]))
        .await;
    assert_eq!(
        short,
        Err(StoreError::Driver(
            "ADD_KINDS takes 9 parameters, 1 were given".to_owned()
        ))
    );

    let ids: Vec<_> = [3_u128, 1, 999, 2]
        .iter()
        .map(|n| params![uuid::Uuid::from_u128(*n)])
        .collect();
    let found: Vec<Vec<Kinds>> = store
        .read(move |tx| tx.query_many(&GET_KINDS, &ids))
        .await
        .unwrap();
    assert_eq!(
        found,
        [
            vec![expected(3)],
            vec![expected(1)],
            vec![],
            vec![expected(2)]
        ]
    );
});

store_test!(parameters_are_bound_by_number, |db| async move {
    db.script(TABLE).await;
    let store = db.store();
    let id = uuid::Uuid::from_u128(4);
    store
        .write(|tx| tx.execute(&PUT_KINDS, &row(4)))
        .await
        .unwrap();
    // `$2` comes first in the text.
    assert_eq!(
        store
            .write(move |tx| tx.execute(&SWAP, &params![id, 40, 4]))
            .await,
        Ok(1)
    );
    assert_eq!(
        store
            .write(move |tx| tx.execute(&OUT_OF_ORDER, &params![id, 41, "later"]))
            .await,
        Ok(1)
    );
    let back: Kinds = store
        .read(move |tx| tx.query_one(&GET_KINDS, &params![id]))
        .await
        .unwrap();
    assert_eq!((back.whole, back.words.as_str()), (41, "later"));
    let literal: (String, i64, String) = store
        .read(move |tx| tx.query_one(&LITERALS, &params!["value", id]))
        .await
        .unwrap();
    assert_eq!((literal.1, literal.2.as_str()), (41, "value"));
    assert!(
        literal.0.starts_with("$1 ") && literal.0.ends_with(" it's"),
        "{}",
        literal.0
    );
});

store_test!(sums_are_numbers_on_both, |db| async move {
    db.script(TABLE).await;
    let store = db.store();
    let empty: (Option<i64>, Option<f64>, i64) =
        store.read(|tx| tx.query_one(&SUMS, &[])).await.unwrap();
    assert_eq!(empty, (None, None, 0));
    let rows: Vec<_> = [1, 2, 4_000_000_000_000].into_iter().map(row).collect();
    store
        .write(move |tx| tx.insert_many(&ADD_KINDS, &rows))
        .await
        .unwrap();
    let sums: (Option<i64>, Option<f64>, i64) =
        store.read(|tx| tx.query_one(&SUMS, &[])).await.unwrap();
    assert_eq!((sums.0, sums.2), (Some(4_000_000_000_003), 3));
    assert!(
        (sums.1.unwrap() - 4_000_000_000_003.0 / 3.0).abs() < 1.0,
        "{sums:?}"
    );
});

store_test!(
    what_one_engine_cannot_hold_is_left_out_on_both,
    |db| async move {
        db.script(TABLE).await;
        let store = db.store();
        let mut dirty = row(1);
        dirty[5] = "a\0b".into();
        dirty[7] = Value::Json(
            r#"{"a":"\u0000","b":"\ud800x","c":"\ud83d\ude00","d":"\\u0000"}"#.to_owned(),
        );
        let again = dirty.clone();
        store
            .write(move |tx| tx.execute(&PUT_KINDS, &dirty))
            .await
            .unwrap();
        let id = uuid::Uuid::from_u128(1);
        let back: Kinds = store
            .read(move |tx| tx.query_one(&GET_KINDS, &params![id]))
            .await
            .unwrap();
        assert_eq!(back.words, "ab");
        let clean =
            serde_json::json!({ "a": "\u{fffd}", "b": "\u{fffd}x", "c": "😀", "d": "\\u0000" });
        assert_eq!(back.document.0, clean);

        let mut again = again;
        again[0] = uuid::Uuid::from_u128(2).into();
        store
            .write(move |tx| tx.insert_many(&ADD_KINDS, std::slice::from_ref(&again)))
            .await
            .unwrap();
        let id = uuid::Uuid::from_u128(2);
        let back: Kinds = store
            .read(move |tx| tx.query_one(&GET_KINDS, &params![id]))
            .await
            .unwrap();
        assert_eq!((back.words.as_str(), back.document.0), ("ab", clean));
    }
);

store_test!(filters_are_optional, |db| async move {
    db.script(TABLE).await;
    let store = db.store();
    let rows: Vec<_> = (0..40).map(row).collect();
    store
        .write(move |tx| tx.insert_many(&ADD_KINDS, &rows))
        .await
        .unwrap();
    let list = |low: Option<i64>, of: Option<Vec<i64>>| {
        let mut sql =
            SqlBuilder::new(&ALL, &params![true]).and_some("whole >= ? AND small = 7", low);
        if let Some(of) = of {
            sql = sql.and_in("whole", of);
        }
        let sql = sql.push(" ORDER BY whole DESC LIMIT ?", &params![3]);
        async move {
            store
                .read(move |tx| tx.query_dynamic::<i64>(&sql))
                .await
                .unwrap()
        }
    };
    assert_eq!(list(None, None).await, [38, 36, 34]);
    assert_eq!(list(Some(36), None).await, [38, 36]);
    assert_eq!(list(None, Some(vec![4, 5, 6, 8, 10])).await, [10, 8, 6]);
    assert_eq!(list(Some(7), Some(vec![4, 8])).await, [8]);
    assert_eq!(list(None, Some(vec![])).await, Vec::<i64>::new());
});

store_test!(returning_gives_rows_of_a_write, |db| async move {
    db.script(TABLE).await;
    let store = db.store();
    store
        .write(|tx| tx.execute(&PUT_KINDS, &row(4)))
        .await
        .unwrap();
    let id = uuid::Uuid::from_u128(4);
    let returned = store
        .write(move |tx| tx.query_one::<i64>(&RETURNING, &params![id]))
        .await;
    assert_eq!(returned, Ok(5));
    let executed = store
        .write(move |tx| tx.execute(&RETURNING, &params![id]))
        .await;
    assert!(
        matches!(executed, Err(StoreError::Driver(_))),
        "{executed:?}"
    );
    assert_eq!(
        store
            .read(|tx| tx.query_opt::<i64>(&ALL, &params![true]))
            .await,
        Ok(Some(5))
    );
    assert_eq!(
        store
            .read(|tx| tx.query_opt::<i64>(&ALL, &params![false]))
            .await,
        Ok(None)
    );
});

store_test!(many_updates_count_one_by_one, |db| async move {
    make_things(&db).await;
    let store = db.store();
    let counts = store
        .write(|tx| {
            put(tx, 1, "one")?;
            put(tx, 3, "three")?;
            let sets: Vec<_> = (1..=3).map(|n| params![TENANT, n, 10]).collect();
            tx.execute_many(&ADD, &sets)
        })
        .await;
    assert_eq!(counts, Ok(vec![1, 0, 1]));
    assert_eq!(labels(&db).await, ["one", "three"]);
});

#[test]
fn values_and_errors_do_not_show_what_they_hold() {
    let values = params!["+491701234567", vec![1_u8], TENANT, 5];
    assert_eq!(format!("{values:?}"), "[text, bytes, uuid, int]");
}

#[test]
fn the_lists_of_a_module_are_complete() {
    assert_eq!((STATEMENTS.len(), INSERTS.len()), (9, 1));
    assert_eq!(INSERTS[0].columns.len(), 9);
}

#[test]
fn numbering_leaves_quotes_and_comments_alone() {
    use crate::engine::statement::number;
    let cases = [
        ("a = $1 AND b = $12", "a = ?1 AND b = ?12"),
        ("'$1' || $1", "'$1' || ?1"),
        ("'it''s $1' || $1", "'it''s $1' || ?1"),
        ("\"$1\" = $2 -- $3\n AND $4", "\"$1\" = ?2 -- $3\n AND ?4"),
        ("j->>'$.a' = $1", "j->>'$.a' = ?1"),
    ];
    for (text, numbered) in cases {
        assert_eq!(number(text), numbered);
    }
}

proptest::proptest! {
    #[test]
    fn cleaned_json_says_the_same_without_what_postgresql_refuses(text in "\\PC*", low in 0_u16..) {
        let mut document = serde_json::to_string(&serde_json::json!({ "text": text })).unwrap();
        document.insert_str(document.len() - 2, &format!("\\u{low:04x}"));
        let clean = crate::engine::value::clean_json(&document).into_owned();
        let parsed: serde_json::Value = serde_json::from_str(&clean).unwrap();
        let tail = char::from_u32(low.into()).filter(|c| *c != '\0').unwrap_or('\u{fffd}');
        proptest::prop_assert_eq!(parsed, serde_json::json!({ "text": format!("{text}{tail}") }));
    }
}
