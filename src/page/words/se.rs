//! Northern Sámi. Written with the vocabulary of public services (`sisačáliheapmi`, `bálvalus`); a native reader is
//! still wanted (`docs/operators-guide.md`).

use portvakt_core::identity::Kind;

use super::{Labels, Page, Wait, Words};

pub(super) const LABELS: Labels = Labels {
    log_in_again: "Čálit sisa ođđasit",
    log_in_otherwise: "Čálit sisa eará ládje",
    log_in_in_new_tab: "Čálit sisa (rahpasuvvá ođđa gilkorii)",
    come_back_and_send: "Boađe ruovttoluotta dán gilkorii go leat sisačálihan, ja sádde.",
    send: "Sádde",
    try_again: "Geahččal ođđasit",
    start: "Mana ovdasiidui",
    log_out: "Čálit olggos",
    log_out_again: "Geahččal čálihit olggos ođđasit",
    finish_logout: "Loahpat olggosčáliheami",
    reference: "Referánsa:",
    use_of_reference: "Atte referánssa jus válddát oktavuođa dán áššis.",
    language: "Giella",
    remember: "Muitte mu válljema dán neahttalohkkis",
    go_on: "Mana viidáseappot",
};

pub(super) fn logout() -> Words {
    Words::new(
        "Mii čálihit du olggos",
        "Don leat olggosčálihan dáppe. Dál mii čálihit du olggos maiddái sisačálihanbálvalusas.",
        "Deaddil boalu jus ii mana viidáseappot iešalddis.",
    )
}

pub(super) fn kept_form() -> Words {
    Words::new(
        "Čálit sisa vai sáhtát sáddet",
        "Dat maid áigot sáddet, ii leat vuos sáddejuvvon. Don fertet vuos čálihit sisa, ođđasit dahje \
         sihkkareappot.",
        "Mii vurket dan dán siiddus 15 minuhta. Divtte dán gilkora leat rabas, ja daga ná:",
    )
}

pub(super) fn organisations() -> Words {
    Words::new(
        "Gean ovddastat?",
        "Don sáhtát doaibmat máŋgga fitnodaga ovddas.",
        "Vállje dan maid áiggut ovddastit dál. Sáhtát molsut maŋŋil almmá ođđasit čáliheami.",
    )
}

pub(super) fn resent_form() -> Words {
    Words::new(
        "Mii sáddet dan maid áigot sáddet",
        "Don leat sisačálihan. Dál mii sáddet dan maid áigot sáddet.",
        "Deaddil boalu jus ii mana viidáseappot iešalddis.",
    )
}

pub(super) fn choice() -> Words {
    Words::new(
        "Mo háliidat čálihit sisa?",
        "Don fertet čálihit sisa vai beasat viidáseappot. Vállje dan vuogi mii dutnje heive.",
        "",
    )
}

pub(super) fn onward() -> Words {
    Words::new(
        "Don sáddejuvvot viidáseappot",
        "Mii sáddet du viidáseappot sisačáliheapmái.",
        "Deaddil boalu jus ii mana viidáseappot iešalddis.",
    )
}

pub(super) fn way(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::National => ("Norgga eID", "BankID:in, MinID:in dahje eará norgga eID:in"),
        Kind::Eidas => ("Eurohpalaš eID", "Elektrovnnalaš ID:in eará eurohpalaš riikkas"),
        Kind::Employee => ("Bargi", "Dutnje gii boađát fitnodaga ovddas"),
        Kind::Email => ("E-poasta", "Kodain mii sáddejuvvo du e-poastačujuhussii"),
        Kind::Helper | Kind::Pseudonymous => ("Sisačáliheapmi olgoriikkas", "Dutnje geas ii leat norgga eID"),
        // It never comes this way.
        Kind::Machine => ("", ""),
    }
}

pub(super) fn words(page: &Page) -> Words {
    match *page {
        Page::LoginRequired => Words::new(
            "Don fertet čálihit sisa",
            "Dat maid áigot sáddet, ii sáddejuvvon, ja mii eat sáhttán vurket dan. Don fertet vuos čálihit sisa, \
             ođđasit dahje sihkkareappot.",
            "Čálit sisa ođđa gilkoris. Boađe de ruovttoluotta dán gilkorii, mana ovtta lávkki maŋos neahttalohkkis, \
             ja sádde ođđasit. Das lea dábálaččat ain dat maid čállet.",
        ),
        Page::FormGone => Words::new(
            "Dat maid áigot sáddet, ii leat šat dáppe",
            "Ádjánii menddo guhká, dahje dat ii boahtán midjiide nugo galggai. Dán háve ii sáddejuvvon mihkkege.",
            "Mana maŋos neahttalohkkis dan siidui gos čállet, ja geahča lea go teaksta ain doppe. Jus ii leat, de \
             fertet álgit ođđasit ovdasiiddus.",
        ),
        Page::LoginExpired => Words::new(
            "Sisačáliheapmi ii leat šat fámus",
            "Sisačáliheapmi bisttii menddo guhká, dahje don leat boahtán boares sisačálihansiidui.",
            "Čálit sisa ođđasit. Dábálaččat dat lihkostuvvá.",
        ),
        Page::LoginCancelled => Words::new(
            "Sisačáliheapmi gaskkalduvai",
            "Don it leat sisačálihan.",
            "Jus goit háliidat čálihit sisa, de sáhtát geahččalit ođđasit.",
        ),
        Page::LoginEnded => Words::new(
            "Don leat olggosčálihan",
            "Dan botta go ledjet čáliheamen sisa dáppe, de čálihuvvojit olggos eará bálvalusas dahje eará gilkoris.",
            "Jus háliidat joatkit, de sáhtát čálihit sisa ođđasit.",
        ),
        Page::LoginRefused => Words::new(
            "Mii eat sáhttán čálihit du sisa",
            "Mii eat sáhttán dárkkistit sisačálihanbálvalusa vástádusa. Du sihkarvuođa dihte mii bisseheimmet \
             sisačáliheami.",
            "Geahččal ođđasit. Jus seamma dáhpáhuvvá vel oktii, de váldde oktavuođa singuin geat jođihit bálvalusa \
             maid áiggut geavahit.",
        ),
        Page::LoginNotSetUp => Words::new(
            "Sisačáliheapmi ii leat rievttes ládje ásahuvvon",
            "Mii bisseheimmet sisačáliheami, danne go du ii livčče sáhttán čálihit olggos juohke sajis. \
             Meattáhus lea min, ii du.",
            "Váldde oktavuođa singuin geat jođihit bálvalusa maid áiggut geavahit, ja atte referánssa mii lea \
             vuolábealde. Geahččal ođđasit go dat lea divvojuvvon.",
        ),
        Page::LoginLoop => Words::new(
            "Neahttalohkki ii muitte sisačáliheami",
            "Mii leat geahččalan máŋgii, muhto neahttalohkki ii vurke ahte don leat sisačálihan. \
             Dat dáhpáhuvvá dávjá go diehtokapselat (cookies) eai leat alde.",
            "Divtte diehtokapseliid doaibmat dán siiddus, dahje geavat eará neahttalohkki. Geahččal de ođđasit.",
        ),
        Page::LevelTooLow => Words::new(
            "Don fertet čálihit sisa sihkkareappot",
            "Siidu masa áiggut, gáibida sihkkarit sisačáliheami go dan maid leat geavahan.",
            "Čálit sisa ođđasit, ja vállje sisačáliheami mas lea alit sihkarvuohta, ovdamearkka dihte BankID.",
        ),
        Page::LevelUnreachable => Words::new(
            "Sisačáliheapmi ii leat doarvái sihkar",
            "Siidu masa áiggut, gáibida sihkkarit sisačáliheami, ja sisačálihanbálvalus ii sáhttán addit dutnje dan.",
            "Geahččal ođđasit eará sisačálihemiin, ovdamearkka dihte BankID. \
             Jus dus ii leat eará, de váldde oktavuođa singuin geat jođihit bálvalusa maid áiggut geavahit.",
        ),
        Page::LoginTooOld => Words::new(
            "Don fertet duođaštit ođđasit gii don leat",
            "Siidu masa áiggut, gáibida ahte don leat áiddo sisačálihan. Sisačálihanbálvalus geavahii boarráset \
             sisačáliheami.",
            "Čálit sisa ođđasit. Jus seamma dáhpáhuvvá vel oktii, de čálit vuos olggos.",
        ),
        Page::NationalNumberNeeded => Words::new(
            "Dáppe dárbbašuvvo norgga riegádannummir dahje D-nummir",
            "Bálvalus lea priváhtaolbmuide geain lea norgga riegádannummir dahje D-nummir. \
             Sisačáliheapmi maid geavahit, lea eará šlája.",
            "Jus dus lea dakkár nummir, de čálit sisa eará ládje, ovdamearkka dihte BankID:in dahje MinID:in. \
             Jus dus ii leat, de váldde oktavuođa singuin geat jođihit bálvalusa.",
        ),
        Page::EuropeanIdNeeded => Words::new(
            "Dáppe dárbbašuvvo eurohpalaš eID",
            "Bálvalus lea sidjiide geain lea dohkkehuvvon elektrovnnalaš ID (eID) eará eurohpalaš riikkas. \
             Sisačáliheapmi maid geavahit, lea eará šlája.",
            "Jus dus lea dakkár eID, de čálit sisa eará ládje, ja vállje riikka gos dat boahtá. \
             Jus dus ii leat, de váldde oktavuođa singuin geat jođihit bálvalusa.",
        ),
        Page::ElectronicIdNeeded => Words::new(
            "Dáppe dárbbašuvvo norgga dahje eurohpalaš eID",
            "Bálvalus gáibida ahte don čálihat sisa elektrovnnalaš ID:in (eID) Norggas dahje eará eurohpalaš \
             riikkas. Sisačáliheapmi maid geavahit, lea eará šlája.",
            "Čálit sisa eará ládje, ovdamearkka dihte BankID:in dahje iežat riikka eID:in.",
        ),
        Page::EmployeeNeeded => Words::new(
            "Dáppe fertet čálihit sisa bargin",
            "Bálvalus lea sidjiide geat bohtet fitnodaga ovddas. Sisačáliheapmi maid geavahit, lea priváhtaolbmuide.",
            "Čálit sisa eará ládje, ja vállje fitnodaga man ovddas boađát.",
        ),
        Page::WrongKind => Words::new(
            "Siidu gáibida eará sisačáliheami",
            "Don leat sisačálihan, muhto dakkár vuogi mielde mii dáppe ii sáhte geavahuvvot. \
             Muhtun siiddut gáibidit norgga riegádannummira, ja muhtumat gáibidit ahte don čálihat sisa fitnodaga \
             ovddas.",
            "Čálit sisa eará ládje. \
             Jus it dieđe mii gáibiduvvo, de váldde oktavuođa singuin geat jođihit bálvalusa.",
        ),
        Page::WrongProvider => Words::new(
            "Siidu gáibida eará sisačálihanbálvalusa",
            "Don leat sisačálihan, muhto dakkár sisačálihanbálvalusa bokte mii ii sáhte geavahuvvot dán siidui.",
            "Čálit sisa eará ládje. Jus dat ii lihkostuva, de váldde oktavuođa singuin geat jođihit bálvalusa.",
        ),
        Page::WrongCountry => Words::new(
            "Siidu ii váldde vuostá du riikka eID",
            "Don leat sisačálihan elektrovnnalaš ID:in mii boahtá riikkas masa siidu ii leat rabas.",
            "Jus dus lea eID eará riikkas, ovdamearkka dihte Norggas, de sáhtát čálihit sisa dainna. \
             Muđui váldde oktavuođa singuin geat jođihit bálvalusa.",
        ),
        Page::WrongMethod => Words::new(
            "Siidu ii dohkket dan vuogi mainna čálihit sisa",
            "Don leat sisačálihan, muhto vuogi mielde mii ii leat dohkkehuvvon dán siidui.",
            "Čálit sisa ođđasit, ja vállje eará sisačáliheami go ovddit háve.",
        ),
        Page::RepresentsNobody => Words::new(
            "Don it ovddas makkárge fitnodaga",
            "Don leat sisačálihan, muhto don it leat válljen fitnodaga, dahje dus ii leat riekti doaibmat ovttage \
             ovddas. Siidu lea dušše sidjiide geat bohtet fitnodaga ovddas.",
            "Čálit sisa ođđasit, ja vállje fitnodaga. Jus dat váilu, de bivdde fitnodaga addit dutnje beassama \
             Altinnas.",
        ),
        Page::WrongOrganisation => Words::new(
            "Fitnodagas ii leat beassan",
            "Don leat sisačálihan dakkár fitnodaga ovddas masa siidu ii leat rabas.",
            "Čálit sisa ođđasit, ja vállje eará fitnodaga. \
             Jus fitnodagas galgá leat beassan, de váldde oktavuođa singuin geat jođihit bálvalusa.",
        ),
        Page::ProviderDown { retry_after_seconds } => Words::new(
            "Sisačáliheapmi ii doaimma justa dál",
            "Mii eat oaččo oktavuođa sisačálihanbálvalusain. Don it leat dahkan maidege boastut.",
            try_again_in(retry_after_seconds),
        ),
        Page::ProviderBusy { retry_after_seconds } => Words::new(
            "Ollugat čálihit sisa justa dál",
            "Leat nu ollugat ahte don fertet vuordit veaháš ovdal go sáhtát čálihit sisa.",
            try_again_in(retry_after_seconds),
        ),
        Page::TooManyRequests { retry_after_seconds } => Words::new(
            "Vuordde veaháš ovdal go geahččalat ođđasit",
            "Leat leamaš ollu geahččaleamit oanehis áiggis dan fierpmádagas maid geavahat. Dat sáhttet boahtit \
             earáin seamma fierpmádagas.",
            try_again_in(retry_after_seconds),
        ),
        Page::SessionsUncertain { retry_after_seconds } => Words::new(
            "Mii eat sáhte čájehit siiddu justa dál",
            "Mii eat sáhte dárkkistit leat go don ain sisačálihan. Du sihkarvuođa dihte mii eat čájet siiddu.",
            try_again_in(retry_after_seconds),
        ),
        Page::AccessTokenMissing { retry_after_seconds } => Words::new(
            "Mii eat sáhte čájehit siiddu justa dál",
            "Siidu dárbbaša juoidá sisačálihanbálvalusas maid mii eat oaččo justa dál. Don leat ain sisačálihan, it ge leat dahkan maidege boastut.",
            try_again_in(retry_after_seconds),
        ),
        Page::CrossSite => Words::new(
            "Dát bissehuvvui",
            "Eará neahttasiidu bivddii dan mii galggai čájehuvvot dahje sáddejuvvot dáppe. Du sihkarvuođa dihte mii \
             eat váldde dan vuostá. Mihkkege ii leat sáddejuvvon.",
            "Mana ovdasiidui, ja daga doppe dan maid áigot.",
        ),
        Page::Maintenance { retry_after_seconds } => Words::new(
            "Bálvalus lea gitta muhtun áigge",
            "Mii bargat bálvalusain maid áiggut geavahit. Don it leat dahkan maidege boastut. Jus áiddo sáddejit \
             juoidá, de dat ii boahtán ollái.",
            try_again_in(retry_after_seconds),
        ),
        Page::Overloaded { retry_after_seconds } => Words::new(
            "Ollugat leat dáppe justa dál",
            "Leat nu ollugat ahte mii eat sáhte váldit eambbosiid vuostá justa dál. Don it leat dahkan maidege \
             boastut.",
            try_again_in(retry_after_seconds),
        ),
        Page::NotFound => Words::new(
            "Mii eat gávnna siiddu",
            "Siidu sáhttá leat sirdojuvvon dahje váldojuvvon eret, dahje čujuhusas sáhttá leat meattáhus.",
            "Dárkkis čujuhusa, dahje oza ovdasiiddu rájes.",
        ),
        Page::MethodNotAllowed => Words::new(
            "Siidu ii sáhte geavahuvvot ná",
            "Siidu rahppojuvvui vuogi mielde mii ii doaimma dáppe. Jus sáddejit juoidá, de dat ii boahtán ollái.",
            "Mana ovdasiidui, ja oza doppe viidáseappot.",
        ),
        Page::BadRequest => Words::new(
            "Čujuhus ii doaimma",
            "Čujuhusas lea meattáhus, dahje das mii sáddejuvvui. \
             Liŋkkat e-poasttas ja eará neahttasiidduin sáhttet leat billahuvvan.",
            "Mana ovdasiidui, ja oza doppe viidáseappot.",
        ),
        Page::TooLong => Words::new(
            "Čujuhus lea menddo guhkki",
            "Siiddu čujuhus lea guhkit go maid mii sáhttit váldit vuostá.",
            "Mana ovdasiidui, ja oza doppe viidáseappot.",
        ),
        Page::WrongHost => Words::new(
            "Dáppe ii leat siidu",
            "Dan čujuhusas mii lea neahttalohkkis, ii leat makkárge bálvalus.",
            "Dárkkis čujuhusa. Jus bohtet deike liŋkka bokte, de sáhttá liŋkkas leat meattáhus.",
        ),
        Page::InsecureTransport => Words::new(
            "Siidu rahppojuvvui krypterema haga",
            "Krypterema haga sáhttet earát lohkat dan mii sáddejuvvo. Du sihkarvuođa dihte mii eat čájet siiddu.",
            "Čále https:// iige http:// čujuhusa álgui, ja geahččal ođđasit.",
        ),
        Page::AppUnreachable => Words::new(
            "Bálvalus ii vástit",
            "Mii eat oaččo oktavuođa bálvalusain maid áiggut geavahit. Don it leat dahkan maidege boastut.",
            TRY_AND_LOOK,
        ),
        Page::AppTooSlow => Words::new(
            "Bálvalus geavaha menddo guhkes áiggi",
            "Mii leat vuordán, muhto bálvalus maid áiggut geavahit, ii leat vástidan. Don it leat dahkan maidege \
             boastut.",
            TRY_AND_LOOK,
        ),
        Page::AppBusy { retry_after_seconds } => Words::new(
            "Ollugat geavahit bálvalusa justa dál",
            "Bálvalus maid áiggut geavahit, ii sáhte váldit eambbosiid vuostá justa dál. Don it leat dahkan maidege \
             boastut.",
            try_again_in(retry_after_seconds),
        ),
        Page::TooLarge => Words::new(
            "Dat maid sáddejit, lea menddo stuoris",
            "Bálvalus ii váldde nu ollu vuostá oktanaga.",
            "Sádde unnit, ovdamearkka dihte unnit fiilla.",
        ),
        Page::InternalError => Words::new(
            "Mis dáhpáhuvai meattáhus",
            "Juoga manai boastut min bealde. Don it leat dahkan maidege boastut.",
            TRY_AND_LOOK,
        ),
        Page::SignedOut => Words::new(
            "Don leat olggosčálihan",
            "Don leat olggosčálihan dáppe ja sisačálihanbálvalusas.",
            "Jus earát geavahit seamma dihtora, de berret maiddái giddet neahttalohkki.",
        ),
        Page::SignedOutLocallyOnly => Words::new(
            "Don leat olggosčálihan dáppe, muhto várra it eará sajiin",
            "Mii eat sáhttán čálihit du olggos sisačálihanbálvalusas. \
             Don sáhtát ain leat sisačálihan doppe ja eará bálvalusain.",
            "Geahččal čálihit olggos ođđasit. Jus dat ii lihkostuva, de gidde buot neahttalohkki lásiid. \
             Dat lea erenoamáš dehálaš jus earát geavahit seamma dihtora.",
        ),
    }
}

const TRY_AND_LOOK: &str = "Geahččal ođđasit moatti minuhta geažes. Jus áiddo leat sádden juoidá, de dárkkis bođii go \
                            dat ollái ovdal go sáddet ođđasit.";

fn try_again_in(seconds: u32) -> String {
    match Wait::of(seconds) {
        Wait::Moment => "Vuordde bottoža, ja geahččal ođđasit.".to_owned(),
        Wait::Minute => "Geahččal ođđasit minuhta geažes.".to_owned(),
        Wait::Minutes(minutes) => format!("Geahččal ođđasit {minutes} minuhta geažes."),
        Wait::Long => "Geahččal ođđasit maŋŋil.".to_owned(),
    }
}
