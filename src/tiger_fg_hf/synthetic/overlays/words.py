"""What promotions say, by the part they play, in the languages of shops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np

from ..drawn.streams import pick
from .fonts import Font, FontSet

Phrases = tuple[str, ...]


@dataclass(frozen=True)
class Language:
    """The phrases of one language, by their part.

    Attributes:
        slogans: what a banner says.
        shouts: what a ribbon, tag or burst says.
        delivery: what a chip with a van says.
        qualities: what a seal or a list with ticks says.
        only, was: what stands before a price, and before the price that it replaces.
        coupon: what a coupon is called.
        scan: what a code asks for.
        price: how a price is written: a format of `whole` and `cents`.
        round_price: the same without cents.
        title: what sellers add to titles.
    """

    slogans: Phrases
    shouts: Phrases
    delivery: Phrases
    qualities: Phrases
    only: Phrases
    was: Phrases
    coupon: Phrases
    scan: Phrases
    price: Phrases
    round_price: Phrases
    title: Phrases


# Many shops write capitals without accents, which is all that Pillow's own font can draw. Where a language has both
# spellings, the font decides. A new phrase may need new glyphs: see the README of `typefaces`.
LANGUAGES: Mapping[str, Language] = {
    "en": Language(
        slogans=(
            "SUMMER SALE",
            "MEGA SALE",
            "Black Friday Deals",
            "CLEARANCE",
            "Buy 2 Get 1 Free",
            "FLASH SALE 24H",
            "New Season, New Style",
            "Factory Outlet",
            "Up to 70% OFF",
            "LIMITED TIME OFFER",
            "Anniversary Sale",
            "Best Seller of the Year",
            "Official Store",
            "11.11 Global Sale",
            "Winter Collection",
            "Last Chance",
        ),
        shouts=("NEW", "SALE", "HOT", "TOP", "DEAL", "WOW", "PROMO", "BEST", "2 FOR 1", "SAVE", "OFF"),
        delivery=("Free Shipping", "24h Delivery", "Fast Delivery", "Ships from US", "Free Returns", "Same Day"),
        qualities=(
            "Top Quality",
            "Original",
            "2 Year Warranty",
            "Official Store",
            "100% Genuine",
            "Top Rated",
            "Premium",
            "Eco Friendly",
            "In Stock",
            "No.1 Choice",
        ),
        only=("ONLY", "NOW", "Deal price", "From", "Special price"),
        was=("was", "before", "RRP", "list"),
        coupon=("COUPON", "VOUCHER", "SAVE", "Extra OFF"),
        scan=("Scan me", "Follow us", "Shop now"),
        price=("${whole}.{cents}", "US ${whole}.{cents}", "${whole}.{cents}", "£{whole}.{cents}", "€{whole}.{cents}"),
        round_price=("${whole}", "£{whole}", "€{whole}"),
        title=(
            "HOT SALE",
            "Free Shipping",
            "2024 New",
            "New Arrival",
            "Best Seller",
            "Factory Price",
            "Ready Stock",
            "100% Original",
            "Limited Offer",
            "Buy 1 Get 1",
            "Clearance",
            "Fast Delivery",
            "High Quality",
            "[50% OFF]",
            "(In Stock)",
            "Official Store",
        ),
    ),
    "zh": Language(
        slogans=(
            "限时特惠",
            "年中大促",
            "全场包邮",
            "官方旗舰店",
            "新品上市",
            "买一送一",
            "双11狂欢价",
            "清仓特价",
            "爆款推荐",
        ),
        shouts=("新品", "热卖", "特价", "爆款", "秒杀", "包邮", "推荐"),
        delivery=("顺丰包邮", "当日发货", "全国包邮", "七天退换", "极速发货"),
        qualities=("正品保证", "品质保障", "官方正品", "两年质保", "假一赔十", "厂家直销"),
        only=("到手价", "券后价", "活动价", "仅需"),
        was=("原价", "日常价"),
        coupon=("优惠券", "满减券", "领券"),
        scan=("扫码领券", "关注店铺"),
        price=("¥{whole}.{cents}", "{whole}.{cents}元"),
        round_price=("¥{whole}", "{whole}元"),
        title=(
            "正品包邮",
            "限时特价",
            "2024新款",
            "官方旗舰店",
            "爆款",
            "厂家直销",
            "顺丰包邮",
            "买一送一",
            "热卖",
            "现货",
        ),
    ),
    "es": Language(
        slogans=("GRAN OFERTA", "REBAJAS", "LIQUIDACION TOTAL", "LIQUIDACIÓN TOTAL", "Solo por hoy", "Lleva 2 paga 1"),
        shouts=("NUEVO", "OFERTA", "TOP", "PROMO", "2x1"),
        delivery=("ENVIO GRATIS", "ENVÍO GRATIS", "Envios 24h", "Envíos 24h", "Entrega inmediata"),
        qualities=("100% Original", "Calidad premium", "Tienda oficial", "Garantia 2 A", "Garantía 2 años"),
        only=("SOLO", "SÓLO", "AHORA", "Desde"),
        was=("antes", "PVP"),
        coupon=("CUPON", "CUPÓN", "VALE", "AHORRA"),
        scan=("Escanea", "Compra ya"),
        price=("${whole}.{cents}", "{whole},{cents} EUR", "{whole},{cents} €"),
        round_price=("${whole}", "{whole} EUR", "{whole} €"),
        title=("OFERTA", "Envío Gratis", "Nuevo 2024", "Original", "Entrega Inmediata", "Garantía", "Mejor Precio"),
    ),
    "de": Language(
        slogans=(
            "SOMMERSCHLUSSVERKAUF",
            "SONDERANGEBOT",
            "RABATTAKTION",
            "Nur solange Vorrat reicht",
            "Jetzt zugreifen",
        ),
        shouts=("NEU", "SALE", "TOP", "HIT", "-30%", "TIPP"),
        delivery=("GRATIS VERSAND", "Versandkostenfrei", "Blitzversand", "Lieferung 24h"),
        qualities=("Top Marke", "Original", "2 Jahre Garantie", "Bestseller", "Testsieger", "Made in Germany"),
        only=("NUR", "AB", "JETZT", "Aktionspreis"),
        was=("statt", "UVP"),
        coupon=("GUTSCHEIN", "RABATT", "COUPON"),
        scan=("Jetzt scannen", "Zum Shop"),
        price=("{whole},{cents} EUR", "{whole}.{cents}", "{whole},{cents} €"),
        round_price=("{whole} EUR", "{whole},-", "{whole} €"),
        title=("NEU", "Angebot", "Versandkostenfrei", "Bestseller", "Top Qualität", "Sofort lieferbar", "OVP", "2024"),
    ),
    "fr": Language(
        slogans=(
            "SOLDES D'HIVER",
            "OFFRE SPECIALE",
            "OFFRE SPÉCIALE",
            "VENTE FLASH",
            "Prix en baisse",
            "Bonnes affaires",
        ),
        shouts=("PROMO", "SOLDES", "TOP", "EXCLU", "OFFRE"),
        delivery=("LIVRAISON GRATUITE", "Livraison 24h", "Retour gratuit", "Livraison offerte"),
        qualities=("Garantie 2 ans", "Qualite premium", "Qualité premium", "Boutique officielle", "Best-seller"),
        only=("SEULEMENT", "Des", "Dès", "Prix choc"),
        was=("au lieu de", "avant"),
        coupon=("BON", "COUPON", "REMISE"),
        scan=("Scannez-moi", "Achetez"),
        price=("{whole},{cents} EUR", "{whole}.{cents}", "{whole},{cents} €"),
        round_price=("{whole} EUR", "{whole} €"),
        title=("PROMO", "Livraison Gratuite", "Nouveauté 2024", "Meilleur Prix", "Neuf", "Qualité Supérieure"),
    ),
    "pt": Language(
        slogans=("SUPER OFERTA", "QUEIMA DE ESTOQUE", "Leve 3 Pague 2", "PROMOCAO", "PROMOÇÃO", "Oferta do dia"),
        shouts=("NOVO", "OFERTA", "TOP", "LEVE 3"),
        delivery=("FRETE GRATIS", "FRETE GRÁTIS", "Entrega 24h", "Pronta entrega"),
        qualities=("100% Original", "Loja oficial", "Mais vendido", "Garantia"),
        only=("POR", "APENAS", "A partir de"),
        was=("de", "antes"),
        coupon=("CUPOM", "DESCONTO"),
        scan=("Aponte aqui", "Compre ja", "Compre já"),
        price=("R$ {whole},{cents}",),
        round_price=("R$ {whole}",),
        title=("PROMOÇÃO", "Frete Grátis", "Lançamento 2024", "Pronta Entrega", "Original", "Mais Vendido"),
    ),
    "it": Language(
        slogans=("SALDI", "OFFERTA LAMPO", "SUPER SCONTO", "Prendi 3 paghi 2"),
        shouts=("NUOVO", "SALDI", "TOP", "SCONTO"),
        delivery=("SPEDIZIONE GRATIS", "Consegna 24h", "Reso gratuito"),
        qualities=("Originale", "Negozio ufficiale", "Garanzia 2 anni", "Made in Italy"),
        only=("SOLO", "ORA", "Da"),
        was=("prima", "invece di"),
        coupon=("BUONO", "COUPON", "SCONTO"),
        scan=("Scansiona", "Acquista"),
        price=("{whole},{cents} EUR", "{whole},{cents} €"),
        round_price=("{whole} EUR", "{whole} €"),
        title=("OFFERTA", "Spedizione Gratuita", "Novità 2024", "Originale", "Miglior Prezzo"),
    ),
    "pl": Language(
        slogans=("WIELKA PROMOCJA", "MEGA OKAZJA", "Super cena"),
        shouts=("NOWOSC", "NOWOŚĆ", "HIT", "PROMO", "OKAZJA"),
        delivery=("DARMOWA DOSTAWA", "Dostawa 24h"),
        qualities=("Oryginalny", "Gwarancja 2 lata", "Hit"),
        only=("TYLKO", "Teraz"),
        was=("zamiast", "cena"),
        coupon=("KUPON", "RABAT"),
        scan=("Zeskanuj", "Kup teraz"),
        price=("{whole},{cents} PLN", "{whole},{cents} zł"),
        round_price=("{whole} PLN", "{whole} zł"),
        title=("PROMOCJA", "Darmowa Dostawa", "Nowość 2024", "Okazja", "Najlepsza Cena"),
    ),
    "id": Language(
        slogans=("DISKON BESAR", "PROMO GAJIAN", "Harga Spesial", "Beli 1 Gratis 1"),
        shouts=("BARU", "PROMO", "MURAH", "DISKON"),
        delivery=("GRATIS ONGKIR", "Kirim hari ini", "Bisa COD"),
        qualities=("100% Ori", "Garansi resmi", "Terlaris", "Kualitas premium"),
        only=("HANYA", "Cuma", "Mulai"),
        was=("dari", "normal"),
        coupon=("VOUCHER", "KUPON"),
        scan=("Scan di sini", "Beli sekarang"),
        price=("Rp{whole}.{cents}0",),
        round_price=("Rp{whole}rb",),
        title=("PROMO", "Gratis Ongkir", "Terbaru 2024", "Original", "Murah", "COD"),
    ),
    "ru": Language(
        slogans=("РАСПРОДАЖА", "Скидки до 70%", "ЛУЧШАЯ ЦЕНА", "Только сегодня"),
        shouts=("НОВИНКА", "ХИТ", "СКИДКА", "АКЦИЯ"),
        delivery=("Бесплатная доставка", "Доставка 24ч"),
        qualities=("Гарантия 2 года", "Оригинал", "Хит продаж"),
        only=("ВСЕГО", "Цена"),
        was=("вместо", "было"),
        coupon=("КУПОН", "ПРОМОКОД"),
        scan=("Сканируй", "Купить"),
        price=("{whole}.{cents} ₽", "{whole}.{cents} руб"),
        round_price=("{whole} ₽", "{whole} руб"),
        title=("АКЦИЯ", "Бесплатная доставка", "Новинка 2024", "Хит продаж", "Оригинал", "Скидка"),
    ),
    "ja": Language(
        slogans=("期間限定セール", "送料無料", "大感謝祭", "半額クーポン", "タイムセール"),
        shouts=("新着", "特価", "人気", "限定"),
        delivery=("送料無料", "翌日配送", "即日発送"),
        qualities=("正規品", "高品質", "1年保証", "ランキング1位"),
        only=("特別価格", "今だけ"),
        was=("通常価格", "定価"),
        coupon=("クーポン", "割引券"),
        scan=("今すぐチェック", "購入はこちら"),
        price=("{whole}{cents}円", "¥{whole},{cents}0"),
        round_price=("{whole}00円",),
        title=("送料無料", "期間限定", "2024新作", "正規品", "即納", "人気"),
    ),
    "ko": Language(
        slogans=("특가 세일", "오늘만 할인", "신상품 출시", "1+1 행사"),
        shouts=("신상", "특가", "인기", "할인"),
        delivery=("무료배송", "당일발송"),
        qualities=("정품 보장", "공식 판매", "품질 보증"),
        only=("할인가", "단돈"),
        was=("정가",),
        coupon=("쿠폰", "할인권"),
        scan=("지금 구매",),
        price=("{whole},{cents}0원",),
        round_price=("{whole},000원",),
        title=("무료배송", "특가", "2024 신상", "정품", "인기"),
    ),
    "ar": Language(
        slogans=("تخفيضات كبرى", "عرض خاص", "لفترة محدودة"),
        shouts=("جديد", "خصم", "عرض"),
        delivery=("شحن مجاني", "توصيل سريع"),
        qualities=("أصلي", "جودة عالية", "ضمان"),
        only=("فقط", "الآن"),
        was=("بدلا من", "كان"),
        coupon=("قسيمة", "كوبون"),
        scan=("تسوق الآن",),
        price=("${whole}.{cents}",),
        round_price=("${whole}",),
        title=("شحن مجاني", "عرض خاص", "جديد 2024", "أصلي", "خصم"),
    ),
    "hi": Language(
        slogans=("महा बचत", "विशेष छूट", "आज का ऑफर"),
        shouts=("नया", "छूट", "सेल"),
        delivery=("मुफ्त डिलीवरी", "तेज़ डिलीवरी"),
        qualities=("असली", "उच्च गुणवत्ता", "वारंटी"),
        only=("केवल", "सिर्फ"),
        was=("पहले",),
        coupon=("कूपन",),
        scan=("अभी खरीदें",),
        price=("₹{whole}", "Rs. {whole}"),
        round_price=("₹{whole}", "Rs. {whole}"),
        title=("मुफ्त डिलीवरी", "नया 2024", "असली", "छूट"),
    ),
}

# Shops of every country use Latin names; none is a real shop's.
SHOP_NAMES = (
    "shopmart",
    "dealbox",
    "casa&co",
    "VELORA",
    "bazaar24",
    "marketly",
    "LUMINO",
    "KIRA home",
    "Nordvik",
    "UrbanNest",
    "TOPWAY",
    "Bellamo",
    "Fenix Store",
    "ZENITH+",
    "Oakline",
    "MIRAVO",
    "trendy.shop",
    "FUNLY",
    "Gotham Goods",
    "hi!store",
)
_SHOP_SUFFIXES = ("", "", " STORE", " Official", ".com", " shop")
# Western shops are the most frequent, so that Latin letters are where the fonts would allow all.
_WEIGHTS = {"en": 5.0, "zh": 4.0}


class Voice:
    """One shop's language and font: what it writes on its pictures, and in which letters.

    Args:
        language: what of a language the font can draw.
        font: which draws all of `language` and Latin letters.
    """

    def __init__(self, language: Language, font: Font):
        self.language, self.font = language, font

    def price(self, rng: np.random.Generator) -> str:
        """A price as the shop writes it."""
        whole = int(np.exp(rng.uniform(np.log(3), np.log(400))))
        return pick(rng, self.language.price).format(whole=whole, cents=pick(rng, ("99", "95", "90", "49", "00")))

    def round_price(self, rng: np.random.Generator) -> str:
        """A price without cents."""
        return pick(rng, self.language.round_price).format(whole=int(rng.choice((2, 3, 5, 8, 10, 15, 20, 30, 50))))

    def discount(self, rng: np.random.Generator) -> str:
        """Such as "-30%"."""
        return pick(rng, ("-{}%", "-{}%", "{}%", "{}% OFF")).format(
            int(rng.choice((10, 15, 20, 25, 30, 40, 50, 60, 70)))
        )

    def shop(self, rng: np.random.Generator) -> str:
        """The name of a shop."""
        return pick(rng, SHOP_NAMES) + pick(rng, _SHOP_SUFFIXES)


def draw_voice(fonts: FontSet, rng: np.random.Generator) -> Voice:
    """Draws a language that one of the fonts can draw, and one of the fonts that can."""
    voices = _voices(fonts)
    weights = np.array([_WEIGHTS.get(name, 1.0) for name in voices])
    name = list(voices)[int(rng.choice(len(voices), p=weights / weights.sum()))]
    return pick(rng, voices[name])


@lru_cache(maxsize=8)
def _voices(fonts: FontSet) -> dict[str, list[Voice]]:
    """All pairs of a language and a font that draws at least one phrase of each part, by language."""
    voices: dict[str, list[Voice]] = {}
    for name, language in LANGUAGES.items():
        for font in fonts.fonts:
            drawable = {
                field.name: tuple(filter(font.covers, getattr(language, field.name)))
                for field in fields(Language)
                if field.name != "title"  # titles are text, which needs no font
            }
            if all(drawable.values()) and font.covers("".join(SHOP_NAMES) + "0123456789-%$.,+{}"):
                voices.setdefault(name, []).append(Voice(replace(language, **drawable), font))
    return voices


def draw_title_words(count: int, rng: np.random.Generator) -> list[str]:
    """Draws up to `count` different words that sellers add to titles: of one language, at times English besides."""
    names = list(LANGUAGES)
    weights = np.array([_WEIGHTS.get(name, 1.0) for name in names])
    language = LANGUAGES[names[int(rng.choice(len(names), p=weights / weights.sum()))]]
    words = list(dict.fromkeys((*language.title, *pick(rng, ((), LANGUAGES["en"].title)))))
    return [words[index] for index in rng.permutation(len(words))[:count]]
