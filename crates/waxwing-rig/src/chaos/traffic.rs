//! What goes on around the server while it is killed: people who talk to the menu, programs that send, copies of
//! webhooks, and somebody who looks whether a status ever goes back.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::book::{Book, Shown, Tally};
use super::check;
use crate::Outcome;
use crate::api::{self, Api};
use crate::http::Client;
use crate::meta::{self, Does, Item, Signer};
use crate::stats::{Dice, now_seconds};
use crate::world::{self, Tenant};

/// How long a person waits for an answer before starting over.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the first messages may take to be shown.
const GREETED: Duration = Duration::from_secs(30);
/// People who only get messages of [`Traffic::program`].
const STRANGERS: u64 = 6;
/// How long one try of a client may take.
const TRY: Duration = Duration::from_secs(5);

/// Everybody who talks to the server.
#[derive(Debug)]
pub struct Traffic {
    /// Where the server is, dead or alive.
    pub address: SocketAddr,
    /// Where everything is noted.
    pub book: Arc<Book>,
    /// The tenants.
    pub tenants: Vec<Tenant>,
    signers: Vec<Arc<Signer>>,
    stop: AtomicBool,
    running: AtomicUsize,
    wamids: AtomicU64,
    /// Distinguishes the ids of this run.
    seed: u64,
}

/// A person in the chat with one number.
#[derive(Debug, Clone)]
pub struct Person {
    /// The number.
    pub number: usize,
    /// Which of its users.
    pub user: u64,
}

impl Person {
    /// Their phone in digits.
    #[must_use]
    pub fn phone(&self) -> String {
        (world::USERS + self.user).to_string()
    }

    /// Their name, which nobody else has in any chat.
    #[must_use]
    pub fn name(&self) -> String {
        format!("P{}at{}", self.user, self.number)
    }
}

/// Counts a task while it lives.
struct Running(Arc<Traffic>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Traffic {
    /// Nobody talks yet.
    #[must_use]
    pub fn new(address: SocketAddr, book: Arc<Book>, tenants: Vec<Tenant>, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            address,
            book,
            signers: world::signers(&tenants),
            tenants,
            stop: AtomicBool::new(false),
            running: AtomicUsize::new(0),
            wamids: AtomicU64::new(0),
            seed,
        })
    }

    fn enter(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Ordering::AcqRel);
        Running(Arc::clone(self))
    }

    /// Nobody begins anything new; what was begun is brought to its end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Waits until all have ended; tells whether they did in time.
    pub async fn ended(&self, wait: Duration) -> bool {
        let deadline = Instant::now() + wait;
        while self.running.load(Ordering::Acquire) > 0 {
            if Instant::now() > deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }

    /// A message with an id that no other has.
    pub fn item(&self, person: &Person, does: Does) -> Item {
        let count = self.wamids.fetch_add(1, Ordering::Relaxed);
        Item {
            number: person.number,
            wamid: format!("wamid.RIG{:08x}{count:08x}", self.seed & 0xffff_ffff),
            from: person.phone(),
            name: person.name(),
            does,
            at: now_seconds(),
        }
    }

    /// The signed request that carries messages. All of them must be signed with the same secret.
    #[must_use]
    pub fn request(&self, items: &[Item]) -> Vec<u8> {
        let number = items.first().map_or(0, |item| item.number);
        self.signers[number].request(&meta::body(items))
    }

    /// Posts a webhook until it is answered with 200, as Meta does. `false` when it was refused for good.
    pub async fn deliver(&self, client: &mut Client, request: &[u8], dice: &mut Dice) -> bool {
        loop {
            Tally::add(&self.book.tally.posts);
            match client.call(request).await {
                Ok(answer) if answer.status == 200 => return true,
                Ok(answer) if answer.status == 503 => Tally::add(&self.book.tally.unavailable),
                Ok(answer) => {
                    let text = format!("a signed webhook was answered with {}", answer.status);
                    self.book.complain(text);
                    return false;
                }
                Err(_) => Tally::add(&self.book.tally.unanswered),
            }
            tokio::time::sleep(Duration::from_millis(2 + dice.below(10))).await;
        }
    }

    /// Lets the people of these phones write to every number once, which nobody answers, and waits until it is shown: from
    /// then on they may be written to.
    ///
    /// # Errors
    /// When a number does not show it in time.
    pub async fn greeted(&self, phones: impl Iterator<Item = u64> + Clone) -> Outcome<()> {
        let mut client = Client::new(self.address, TRY);
        let mut dice = Dice::new(self.seed);
        for number in 0..self.tenants.len() {
            let greetings = phones.clone().map(|phone| {
                let user = phone - world::USERS;
                let does = Does::Says("good morning".to_owned());
                self.item(&Person { number, user }, does)
            });
            let items: Vec<_> = greetings.collect();
            for items in items.chunks(50) {
                let notes = items.iter().map(|item| (item.clone(), None));
                let first = self.book.write(notes);
                if self
                    .deliver(&mut client, &self.request(items), &mut dice)
                    .await
                {
                    self.book.acknowledge(first..first + items.len());
                }
            }
        }
        let mut api = Api::new(self.address);
        let deadline = Instant::now() + GREETED;
        for tenant in &self.tenants {
            let wanted = phones.clone().count();
            while api.messages(&tenant.id, "&direction=IN").await?.len() < wanted {
                if Instant::now() > deadline {
                    return Err("the first messages are not shown in time".to_owned());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    /// People who each write, wait for the answer, and go on; their messages of one round come in one request.
    pub async fn chat(self: Arc<Self>, people: Vec<Person>, mut dice: Dice) {
        let _running = self.enter();
        let mut client = Client::new(self.address, TRY);
        let mut shown: Vec<Option<(usize, Shown)>> = vec![None; people.len()];
        while !self.stopping() {
            let round: Vec<(Item, usize)> = people
                .iter()
                .zip(&shown)
                .map(|(person, shown)| match shown {
                    Some((step, shown)) if !dice.chance(4) => {
                        let does = Does::Taps {
                            button: world::NEXT.to_owned(),
                            title: "Next".to_owned(),
                            context: shown.wamid.clone(),
                        };
                        (self.item(person, does), (step + 1) % world::STEPS)
                    }
                    _ => (self.item(person, Does::Says(world::START.to_owned())), 0),
                })
                .collect();
            let items: Vec<Item> = round.iter().map(|(item, _)| item.clone()).collect();
            let notes = round.iter().cloned().map(|(item, step)| (item, Some(step)));
            let first = self.book.write(notes);
            for item in &items {
                if dice.chance(10) {
                    tokio::spawn(Arc::clone(&self).copy(item.clone(), dice.fork()));
                }
            }
            let request = self.request(&items);
            if !self.deliver(&mut client, &request, &mut dice).await {
                return;
            }
            self.book.acknowledge(first..first + items.len());
            for ((person, shown), (_, step)) in people.iter().zip(&mut shown).zip(round) {
                let text = world::chain_text(person.number, step, &person.name());
                let patience = if self.stopping() {
                    Duration::ZERO
                } else {
                    PATIENCE
                };
                let answer = self
                    .book
                    .await_text(person.number, person.user, &text, patience)
                    .await;
                *shown = answer.map(|answer| (step, answer));
            }
            tokio::time::sleep(Duration::from_millis(dice.below(25))).await;
        }
    }

    /// Posts a message once more: as it was, twice in one request, or beside somebody else's message.
    async fn copy(self: Arc<Self>, item: Item, mut dice: Dice) {
        let _running = self.enter();
        tokio::time::sleep(Duration::from_millis(dice.below(60))).await;
        let mut items = vec![item];
        if dice.chance(50) {
            Tally::add(&self.book.tally.other_envelopes);
            let own = self.tenants[items[0].number].secret.is_some();
            let other = self
                .book
                .any_acknowledged(&mut dice)
                .filter(|other| !own && self.tenants[other.number].secret.is_none());
            let beside = other.unwrap_or_else(|| items[0].clone());
            items.insert(0, beside);
        }
        Tally::add(&self.book.tally.copies);
        let request = self.request(&items);
        let mut client = Client::new(self.address, TRY);
        self.deliver(&mut client, &request, &mut dice).await;
    }

    /// The phones that [`Self::program`] writes to.
    pub fn sent_to(users: u64) -> impl Iterator<Item = u64> + Clone {
        let people = world::USERS..world::USERS + users;
        people.chain(world::SENT_TO..world::SENT_TO + STRANGERS)
    }

    /// A program that sends for one tenant, one message after the other.
    pub async fn program(self: Arc<Self>, number: usize, users: u64, mut dice: Dice) {
        let _running = self.enter();
        let mut count = 0_u64;
        while !self.stopping() {
            // The same keys in every tenant: they are different messages.
            let key = format!("k-{count}");
            let to = if count % 4 == 3 {
                world::USERS + dice.below(users)
            } else {
                world::SENT_TO + count % STRANGERS
            };
            let text = format!("n{number} send {key}");
            let place = self.book.ask(number, &key, &to.to_string(), &text);
            let body = json!({"to": format!("+{to}"), "text": text, "idempotency_key": key});
            let callers = if dice.chance(20) {
                2 + dice.below(3)
            } else {
                1
            };
            let calls: Vec<_> = (0..callers)
                .map(|_| {
                    let traffic = Arc::clone(&self);
                    let (body, dice) = (body.clone(), dice.fork());
                    tokio::spawn(async move { traffic.call(number, place, &body, dice).await })
                })
                .collect();
            for call in calls {
                // A caller that panicked leaves its send without an answer, which is found at the end.
                let _ = call.await;
            }
            if dice.chance(5) {
                let other = json!({"to": format!("+{to}"), "text": "something else", "idempotency_key": key});
                self.misuse(number, &other, &mut dice).await;
            }
            count += 1;
            tokio::time::sleep(Duration::from_millis(5 + dice.below(30))).await;
        }
    }

    /// Calls until there is an answer.
    pub async fn call(&self, number: usize, place: usize, body: &Value, mut dice: Dice) {
        let answer = self.until_answered(number, body, &mut dice).await;
        let (status, body) = answer;
        let id = match status {
            202 => body["message"]["id"].as_str(),
            409 => body["existing"]["id"].as_str(),
            _ => None,
        };
        match id {
            Some(id) => self.book.answer(place, id, status == 202),
            None => self
                .book
                .complain(format!("a send was answered with {status}: {body}")),
        }
    }

    /// The key of an earlier send with another text.
    async fn misuse(&self, number: usize, body: &Value, dice: &mut Dice) {
        let (status, answer) = self.until_answered(number, body, dice).await;
        if status != 422 {
            let text = format!("a used key with another text was answered with {status}: {answer}");
            self.book.complain(text);
        }
    }

    async fn until_answered(&self, number: usize, body: &Value, dice: &mut Dice) -> (u16, Value) {
        let path = format!("/api/tenants/{}/send", self.tenants[number].id);
        let request = api::request("POST", &path, Some(body));
        let mut client = Client::new(self.address, TRY);
        loop {
            Tally::add(&self.book.tally.calls);
            match client.call(&request).await {
                Ok(answer) if answer.status == 503 => {}
                Ok(answer) => {
                    let value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
                    return (answer.status, value);
                }
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(2 + dice.below(10))).await;
        }
    }

    /// Looks at messages again and again: what the server has shown of a status must never be taken back.
    pub async fn look(self: Arc<Self>, mut dice: Dice) {
        let _running = self.enter();
        let mut api = Api::new(self.address);
        let mut heights: HashMap<String, u8> = HashMap::new();
        while !self.stopping() {
            let tenant = &self.tenants[dice.place(self.tenants.len())];
            let path = format!("/api/tenants/{}/messages?limit=60&direction=OUT", tenant.id);
            if let Ok((200, mut page)) = api.call("GET", &path, None).await {
                let rows: Vec<api::Message> =
                    serde_json::from_value(page["messages"].take()).unwrap_or_default();
                for row in rows {
                    let height = check::height(&row.status).max(check::SENDING);
                    let known = heights.entry(row.id.clone()).or_insert(height);
                    if height < *known {
                        let text = format!("{} went back to `{}`", row.id, row.status);
                        self.book.complain(text);
                    }
                    *known = height.max(*known);
                }
            }
            tokio::time::sleep(Duration::from_millis(20 + dice.below(40))).await;
        }
    }
}
