//! Who an item is about: ids of the item itself, completed by the contact that belongs to them (protocols/meta.md 4).

use std::borrow::Cow;
use std::collections::HashMap;

use waxwing_core::identity::{Bsuid, Identity};
use waxwing_core::limits;
use waxwing_core::phone::Phone;

use crate::messaging::cloud::wire::{self, Raw, fields};

fields! {
    /// A contact of a value.
    ContactWire {
        "wa_id" => wa_id,
        "user_id" => user_id,
        "parent_user_id" => parent_user_id,
        "profile" => profile,
    }
}

fields! {
    /// The profile of a contact.
    ProfileWire { "name" => name, "username" => username }
}

/// The ids that an item itself gives. `id` is a phone, or a user id that stands in the phone's place.
#[derive(Default, Clone, Copy)]
pub(super) struct Ids<'a> {
    pub(super) id: Raw<'a>,
    pub(super) user_id: Raw<'a>,
    pub(super) parent_user_id: Raw<'a>,
}

impl Ids<'_> {
    /// The ids that are valid. An id of another form is no id.
    pub(super) fn identity(&self) -> Identity {
        let id = wire::text(self.id);
        let in_place = id.as_deref().and_then(Bsuid::parse);
        Identity {
            phone: id.and_then(|id| Phone::from_wa_id(&id).ok()),
            user_id: bsuid(self.user_id).or(in_place),
            parent_user_id: bsuid(self.parent_user_id),
            username: None,
        }
    }
}

pub(super) fn bsuid(raw: Raw<'_>) -> Option<Bsuid> {
    wire::text(raw).and_then(|id| Bsuid::parse(&id))
}

pub(super) fn phone(raw: Raw<'_>) -> Option<Phone> {
    wire::text(raw).and_then(|id| Phone::from_wa_id(&id).ok())
}

/// The contacts of one value.
pub(super) struct People<'a> {
    contacts: Vec<Contact<'a>>,
    /// Built only for more contacts than a glance finds, so that many of them cost no square of time.
    by_id: HashMap<String, usize>,
}

struct Contact<'a> {
    identity: Identity,
    profile: Raw<'a>,
}

/// Contacts that are searched one by one.
const GLANCE: usize = 4;

impl<'a> People<'a> {
    pub(super) fn read(contacts: Raw<'a>) -> Self {
        let contacts: Vec<Contact<'_>> = wire::list(contacts)
            .into_iter()
            .filter_map(wire::object::<ContactWire<'_>>)
            .map(|contact| Contact {
                identity: Ids {
                    id: contact.wa_id,
                    user_id: contact.user_id,
                    parent_user_id: contact.parent_user_id,
                }
                .identity(),
                profile: contact.profile,
            })
            .collect();
        let mut by_id = HashMap::new();
        if contacts.len() > GLANCE {
            for (index, contact) in contacts.iter().enumerate() {
                for key in keys(&contact.identity) {
                    by_id.entry(key).or_insert(index);
                }
            }
        }
        Self { contacts, by_id }
    }

    /// Joins by id, never by place; a contact that stands alone belongs to whoever is there (protocols/meta.md 3).
    fn find(&self, identity: &Identity) -> Option<&Contact<'a>> {
        let found = if self.contacts.len() > GLANCE {
            keys(identity).find_map(|key| self.contacts.get(*self.by_id.get(&key)?))
        } else {
            self.contacts
                .iter()
                .find(|contact| is_same(&contact.identity, identity))
        };
        match self.contacts.as_slice() {
            [only] => found.or(Some(only)),
            _ => found,
        }
    }

    /// The whole identity of the sender and the name they gave themselves.
    pub(super) fn sender(&self, ids: Ids<'_>) -> (Identity, Option<String>) {
        let mut identity = ids.identity();
        let Some(contact) = self.find(&identity) else {
            return (identity, None);
        };
        let profile: ProfileWire<'_> = wire::object_or_empty(contact.profile);
        // The number in the item is the one to answer; the contact's is only better than none.
        if !identity.is_usable() {
            identity.phone.clone_from(&contact.identity.phone);
        }
        if identity.user_id.is_none() {
            identity.user_id.clone_from(&contact.identity.user_id);
        }
        if identity.parent_user_id.is_none() {
            identity
                .parent_user_id
                .clone_from(&contact.identity.parent_user_id);
        }
        identity.username = wire::text(profile.username)
            .map(|name| clip(name.trim_start_matches('@')))
            .filter(|name| !name.is_empty());
        (identity, wire::text(profile.name).map(|name| clip(&name)))
    }
}

fn keys(identity: &Identity) -> impl Iterator<Item = String> {
    let phone = identity.phone.as_ref().map(Phone::matching_digits);
    let user = identity.user_id.as_ref().map(|id| id.as_str().to_owned());
    phone.into_iter().chain(user)
}

fn is_same(one: &Identity, other: &Identity) -> bool {
    let phones = one.phone.as_ref().zip(other.phone.as_ref());
    let users = one.user_id.as_ref().zip(other.user_id.as_ref());
    phones.is_some_and(|(a, b)| a == b || a.matching_digits() == b.matching_digits())
        || users.is_some_and(|(a, b)| a == b)
}

/// A name as it is kept.
fn clip(name: &str) -> String {
    match name.char_indices().nth(limits::NAME) {
        Some((end, _)) => name[..end].to_owned(),
        None => Cow::Borrowed(name).into_owned(),
    }
}
