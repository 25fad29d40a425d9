//! Checks of interactive messages (meta.md section 11.1).

use std::collections::HashSet;

use super::{Checked, optional, required, source};
use crate::meta::errors::GraphError;
use crate::meta::wire::{Action, Card, Header, Interactive, Parameters};

pub(super) fn check(message: &Interactive<'_>) -> Checked<()> {
    let kind = message
        .kind
        .as_deref()
        .ok_or_else(|| GraphError::missing("interactive.type"))?;
    let action = message
        .action
        .as_ref()
        .ok_or_else(|| GraphError::missing("interactive.action"))?;
    let body = message.body.as_ref().map(|b| b.text.as_deref());
    match (kind, body) {
        // The only kind that is complete without a body.
        ("product", None) => {}
        ("product", Some(text)) => optional("Body text", text, 1024)?,
        (_, text) => {
            required("Body text", text.flatten(), 1024)?;
        }
    }
    if let Some(footer) = &message.footer {
        required("Footer text", footer.text.as_deref(), 60)?;
    }
    if let Some(header) = &message.header {
        check_header(header, kind)?;
    }
    match kind {
        "button" => reply_buttons(action),
        "list" => list(action),
        "cta_url" => cta_url(action),
        "flow" => flow(action),
        "product" => {
            required("action.catalog_id", action.catalog_id.as_deref(), 256)?;
            required(
                "action.product_retailer_id",
                action.product_retailer_id.as_deref(),
                256,
            )
            .map(drop)
        }
        "product_list" => product_list(message, action),
        "carousel" => carousel(action),
        "location_request_message" => named(action, "send_location"),
        "request_contact_info"
        | "call_permission_request"
        | "catalog_message"
        | "address_message" => named(action, kind),
        "order_details" | "order_status" => {
            required("action.name", action.name.as_deref(), 64).map(drop)
        }
        _ => Err(GraphError::value(format!(
            "interactive.type {} is not supported",
            clip(kind)
        ))),
    }
}

fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

fn check_header(header: &Header<'_>, kind: &str) -> Checked<()> {
    let form = header
        .kind
        .as_deref()
        .ok_or_else(|| GraphError::missing("header.type"))?;
    if form != "text" && matches!(kind, "list" | "product_list") {
        return Err(GraphError::value(format!(
            "header.type {} is not allowed here",
            clip(form)
        )));
    }
    match form {
        "text" => required("Header text", header.text.as_deref(), 60).map(drop),
        "image" => source(
            "header.image",
            header
                .image
                .as_ref()
                .ok_or_else(|| GraphError::missing("header.image"))?,
        ),
        "video" => source(
            "header.video",
            header
                .video
                .as_ref()
                .ok_or_else(|| GraphError::missing("header.video"))?,
        ),
        "document" => source(
            "header.document",
            header
                .document
                .as_ref()
                .ok_or_else(|| GraphError::missing("header.document"))?,
        ),
        // gif and product appear in headers of some kinds; their content is not checked here.
        "gif" | "product" => Ok(()),
        _ => Err(GraphError::value(format!(
            "header.type {} is not supported",
            clip(form)
        ))),
    }
}

fn reply_buttons(action: &Action<'_>) -> Checked<()> {
    let buttons = action
        .buttons
        .as_deref()
        .ok_or_else(|| GraphError::missing("action.buttons"))?;
    if buttons.is_empty() || buttons.len() > 3 {
        return Err(GraphError::value(
            "Invalid buttons count. Min allowed buttons: 1, Max allowed buttons: 3",
        ));
    }
    let (mut ids, mut titles) = (HashSet::with_capacity(3), HashSet::with_capacity(3));
    for button in buttons {
        if button.kind.as_deref() != Some("reply") {
            return Err(GraphError::value("Button type must be reply"));
        }
        let reply = button
            .reply
            .as_ref()
            .ok_or_else(|| GraphError::missing("button.reply"))?;
        let id = required("Button id", reply.id.as_deref(), 256)?;
        let title = required("Button title", reply.title.as_deref(), 20)?;
        if !ids.insert(id) {
            return Err(GraphError::value("Duplicated button id"));
        }
        if !titles.insert(title) {
            return Err(GraphError::value("Duplicated button title"));
        }
    }
    Ok(())
}

fn list(action: &Action<'_>) -> Checked<()> {
    required("Button label", action.button.as_deref(), 20)?;
    let sections = action
        .sections
        .as_deref()
        .ok_or_else(|| GraphError::missing("action.sections"))?;
    if sections.is_empty() || sections.len() > 10 {
        return Err(GraphError::value(
            "Invalid sections count. Min allowed sections: 1, Max allowed sections: 10",
        ));
    }
    let mut total = 0;
    let mut ids = HashSet::new();
    for section in sections {
        if sections.len() > 1 {
            required("Section title", section.title.as_deref(), 24)?;
        } else {
            optional("Section title", section.title.as_deref(), 24)?;
        }
        let rows = section
            .rows
            .as_deref()
            .ok_or_else(|| GraphError::missing("section.rows"))?;
        if rows.is_empty() {
            return Err(GraphError::value("Section has no rows"));
        }
        total += rows.len();
        if total > 10 {
            return Err(GraphError::value(
                "Total row count exceed max allowed count: 10",
            ));
        }
        for row in rows {
            let id = required("Row id", row.id.as_deref(), 200)?;
            required("Row title", row.title.as_deref(), 24)?;
            optional("Row description", row.description.as_deref(), 72)?;
            if !ids.insert(id) {
                return Err(GraphError::value("Duplicated row id"));
            }
        }
    }
    Ok(())
}

fn parameters<'a>(action: &Action<'a>) -> Checked<Parameters<'a>> {
    let raw = action
        .parameters
        .ok_or_else(|| GraphError::missing("action.parameters"))?;
    serde_json::from_str(raw.get())
        .map_err(|_| GraphError::invalid("Param action.parameters has the wrong form"))
}

fn url(parameters: &Parameters<'_>) -> Checked<()> {
    required("display_text", parameters.display_text.as_deref(), 20)?;
    let url = required("url", parameters.url.as_deref(), 2000)?;
    if url.starts_with("https://") || url.starts_with("http://") {
        Ok(())
    } else {
        Err(GraphError::value("url is not valid"))
    }
}

fn cta_url(action: &Action<'_>) -> Checked<()> {
    named(action, "cta_url")?;
    url(&parameters(action)?)
}

fn flow(action: &Action<'_>) -> Checked<()> {
    named(action, "flow")?;
    let parameters = parameters(action)?;
    if parameters.flow_id.is_none() && parameters.flow_name.is_none() {
        return Err(GraphError::missing("flow_id or flow_name"));
    }
    // 20 is safe, clients were seen with 30 and accepted.
    required("flow_cta", parameters.flow_cta.as_deref(), 30).map(drop)
}

fn named(action: &Action<'_>, name: &str) -> Checked<()> {
    match action.name.as_deref() {
        Some(found) if found == name => Ok(()),
        None => Err(GraphError::missing("action.name")),
        Some(_) => Err(GraphError::value(format!("action.name must be {name}"))),
    }
}

fn product_list(message: &Interactive<'_>, action: &Action<'_>) -> Checked<()> {
    if message.header.is_none() {
        return Err(GraphError::missing("header"));
    }
    required("action.catalog_id", action.catalog_id.as_deref(), 256)?;
    let sections = action
        .sections
        .as_deref()
        .ok_or_else(|| GraphError::missing("action.sections"))?;
    if sections.is_empty() || sections.len() > 10 {
        return Err(GraphError::value(
            "Invalid sections count. Min allowed sections: 1, Max allowed sections: 10",
        ));
    }
    let mut total = 0;
    for section in sections {
        if sections.len() > 1 {
            required("Section title", section.title.as_deref(), 24)?;
        } else {
            optional("Section title", section.title.as_deref(), 24)?;
        }
        let items = section
            .product_items
            .as_deref()
            .ok_or_else(|| GraphError::missing("section.product_items"))?;
        for item in items {
            required(
                "product_retailer_id",
                item.product_retailer_id.as_deref(),
                256,
            )?;
        }
        total += items.len();
    }
    if total == 0 || total > 30 {
        return Err(GraphError::value("Invalid product count. Min: 1, Max: 30"));
    }
    Ok(())
}

fn carousel(action: &Action<'_>) -> Checked<()> {
    let cards = action
        .cards
        .as_deref()
        .ok_or_else(|| GraphError::missing("action.cards"))?;
    if cards.len() < 2 || cards.len() > 10 {
        return Err(GraphError::value(
            "Invalid cards count. Min allowed cards: 2, Max allowed cards: 10",
        ));
    }
    cards.iter().try_for_each(card)
}

fn card(card: &Card<'_>) -> Checked<()> {
    if let Some(body) = &card.body {
        let text = body.text.as_deref().unwrap_or("");
        optional("Card body", Some(text), 160)?;
        if text.matches('\n').count() > 2 {
            return Err(GraphError::value("Card body has more than 2 line breaks"));
        }
    }
    if let Some(header) = &card.header {
        check_header(header, "carousel")?;
    }
    let Some(action) = &card.action else {
        return Ok(());
    };
    for button in action.buttons.iter().flatten() {
        let reply = button.quick_reply.as_ref().or(button.reply.as_ref());
        let reply = reply.ok_or_else(|| GraphError::missing("quick_reply"))?;
        // The documents say 20, one of their own examples has 21: the limit of reply buttons is taken.
        required("Quick reply id", reply.id.as_deref(), 256)?;
        required("Quick reply title", reply.title.as_deref(), 20)?;
    }
    if action.name.as_deref() == Some("cta_url") {
        url(&parameters(action)?)?;
    }
    Ok(())
}
