//! A contact that writes more than a bot has to read: all of it is kept, and the bot answers so much.

use waxwing_testkit::TestApp;

use crate::support::{SOON, on_both};

const ADA: &str = "16505551234";
const BEA: &str = "16505551235";

on_both!(
    the_bot_answers_ten_messages_a_minute_and_keeps_all,
    |options| options.set("CONTACT_MESSAGES_PER_MINUTE", "10")
);
async fn the_bot_answers_ten_messages_a_minute_and_keeps_all(app: TestApp) {
    let bank = app.bank().await;
    let ada = app.phone(&bank, ADA, "Ada");
    // One after the other, then a heap: both ways of counting, from the store and within a batch.
    for _ in 0..6 {
        ada.say("hi");
        ada.await_reply(SOON).await.unwrap();
    }
    for _ in 0..9 {
        ada.say("hi");
    }
    app.messages_until(&bank, "direction=IN", |found| found.len() == 15)
        .await;
    for _ in 0..4 {
        ada.await_reply(SOON).await.unwrap();
    }
    // Who writes after all that is answered, so nothing of it is still to come.
    let bea = app.phone(&bank, BEA, "Bea");
    bea.say("hi");
    bea.await_reply(SOON).await.unwrap();
    let answers = app.messages(&bank, "direction=OUT").await;
    let of_ada = format!("+{ADA}");
    let to_ada = answers
        .iter()
        .filter(|message| message["to"] == of_ada.as_str());
    assert_eq!(to_ada.count(), 10, "{}", app.logs());
}
