//! Small damages to bodies.

use proptest::prelude::*;

#[derive(Debug, Clone)]
pub enum Mutation {
    Replace(usize, u8),
    Insert(usize, u8),
    Remove(usize, usize),
    Copy(usize, usize, usize),
}

pub fn mutation() -> impl Strategy<Value = Mutation> {
    // Bytes with a meaning in JSON are the interesting ones.
    let byte = prop_oneof![
        proptest::sample::select(b"{}[]\",:\\u0d8-e.tn ".to_vec()),
        any::<u8>()
    ];
    prop_oneof![
        (any::<usize>(), byte.clone()).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        (any::<usize>(), byte).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        (any::<usize>(), 1..40_usize).prop_map(|(at, length)| Mutation::Remove(at, length)),
        (any::<usize>(), 1..80_usize, any::<usize>())
            .prop_map(|(from, length, to)| Mutation::Copy(from, length, to)),
    ]
}

pub fn mutate(body: &mut Vec<u8>, mutation: &Mutation) {
    let size = body.len() + 1;
    match *mutation {
        Mutation::Replace(at, byte) => {
            if let Some(slot) = body.get_mut(at % size) {
                *slot = byte;
            }
        }
        Mutation::Insert(at, byte) => body.insert(at % size, byte),
        Mutation::Remove(at, length) => {
            let at = at % size;
            let end = (at + length).min(body.len());
            body.drain(at..end);
        }
        Mutation::Copy(from, length, to) => {
            let from = from % size;
            let part = body[from..(from + length).min(body.len())].to_vec();
            let to = to % size;
            body.splice(to..to, part);
        }
    }
}
