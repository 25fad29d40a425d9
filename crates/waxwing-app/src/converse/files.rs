//! Files of messages that come in: each gets an id of ours and a row that waits to be fetched, in the transaction of the
//! message.

use waxwing_core::content::{Content, Media};
use waxwing_core::ids::MediaId;
use waxwing_core::media::{INBOUND_LIFE, clean_file_name};
use waxwing_store::domain::media::NewMedia;

use super::apply::Writer;
use super::people::Fresh;

impl Writer<'_> {
    /// The content with our id of its file, which is noted to be fetched. Unchanged when it has none, or when files are
    /// not fetched.
    pub(super) fn with_file(&mut self, item: &Fresh<'_>, content: &Content) -> Content {
        let mut content = content.clone();
        let Some(keep) = self.tools.files else {
            return content;
        };
        let Some((kind, _)) = content.media() else {
            return content;
        };
        let Some(media) = content.media_mut() else {
            return content;
        };
        media.filename = media.filename.as_deref().and_then(clean_file_name);
        if media.id.is_none() && media.link.is_none() {
            return content;
        }
        let id = MediaId::new(&*self.tools.base.ids);
        self.files.push(NewMedia {
            tenant_id: item.channel.tenant_id,
            id,
            kind,
            channel_id: item.channel.channel_id,
            message_id: item.message_id,
            media: Media {
                caption: None,
                ..media.clone()
            },
            give_up_at: self.now.plus(INBOUND_LIFE),
            expires_at: self.now.plus(keep),
        });
        media.media_id = Some(id);
        content
    }
}
