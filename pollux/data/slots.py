# SPDX-License-Identifier: Apache-2.0
"""Parameters of simple tools: what they are called, their values, and how those are said."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pollux.calls import NUMBERS
from pollux.data.facts import SIGNS, Vocabulary

Making = Callable[[np.random.Generator, Vocabulary], str]

COLOURS = tuple("red green blue yellow white orange purple pink".split())
ROOMS = ("kitchen", "bedroom", "living room", "bathroom", "hall", "garage", "office", "garden")
DEVICES = ("TV", "kitchen speaker", "bedroom speaker", "laptop", "phone", "tablet", "radio")
LANGUAGES = tuple("English French German Chinese Spanish Italian Russian Turkish Greek".split())
CUISINES = tuple("Italian Mexican Indian Chinese Thai Greek French Japanese vegetarian".split())
GENRES = tuple("jazz rock pop folk classical comedy drama horror fantasy action".split())
CITIES = (
    "Paris,Berlin,London,New York,San Francisco,Tokyo,Rome,Madrid,Vienna,Oslo,Los Angeles,Chicago,"
    "Seattle,San Jose,Boston,Cairo,Delhi,Sydney,Dublin,Prague,Lisbon,Warsaw,Munich,Toronto"
).split(",")
DAYS = (
    "today,tomorrow,tonight,Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday,next week,"
    "next Monday,next Friday"
).split(",")
MONTHS = (
    "January February March April May June July August September October November December"
).split()
CURRENCIES = ("USD", "EUR", "GBP", "JPY", "CHF", "dollars", "euros", "pounds", "yen")
SPELT = 0.3  # of the small numbers: "two"


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A parameter, its values, and how they are said beside by its name.

    `way`: the word that leads to its value; no tool has two of one. `last`: it ends a request.
    """

    names: tuple[str, ...]
    explained: tuple[str, ...]
    value: Making
    said: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()  # of a boolean that is to be false
    kind: str = "string"
    values: tuple[str, ...] = ()  # where they are few
    way: str = ""
    last: bool = False


def one_of(options: tuple[str, ...] | list[str]) -> Making:
    return lambda rng, vocabulary: vocabulary.pick(rng, options)


def number(low: int, high: int) -> Making:
    def make(rng: np.random.Generator, vocabulary: Vocabulary) -> str:
        value = int(rng.integers(low, high))
        spelt = value < len(NUMBERS) and rng.random() < SPELT
        return NUMBERS[value] if spelt else str(value)

    return make


def some_words(low: int, high: int) -> Making:
    def make(rng: np.random.Generator, vocabulary: Vocabulary) -> str:
        return " ".join(
            vocabulary.pick(rng, vocabulary.lower) for _ in range(rng.integers(low, high))
        )

    return make


def _names(rng: np.random.Generator, vocabulary: Vocabulary) -> str:
    return " ".join(vocabulary.pick(rng, vocabulary.names) for _ in range(rng.integers(1, 3)))


def _city(rng: np.random.Generator, vocabulary: Vocabulary) -> str:
    return vocabulary.pick(rng, CITIES) if rng.random() < 0.5 else _names(rng, vocabulary)


def _time(rng: np.random.Generator, vocabulary: Vocabulary) -> str:
    hour, minute = int(rng.integers(1, 13)), int(rng.integers(60))
    options = (
        f"{hour}:{minute:02d}",
        f"{int(rng.integers(24))}:{minute:02d}",
        f"{hour} {vocabulary.pick(rng, ('am', 'pm'))}",
        f"{hour}:{minute:02d} {vocabulary.pick(rng, ('am', 'pm'))}",
        vocabulary.pick(rng, ("noon", "midnight")),
    )
    return vocabulary.pick(rng, options)


def _date(rng: np.random.Generator, vocabulary: Vocabulary) -> str:
    month, day = vocabulary.pick(rng, MONTHS), int(rng.integers(1, 29))
    options = (
        vocabulary.pick(rng, DAYS),
        vocabulary.pick(rng, DAYS),
        f"{month} {day}",
        f"{day} {month}",
        f"20{int(rng.integers(20, 40))}-{int(rng.integers(1, 13)):02d}-{day:02d}",
    )
    return vocabulary.pick(rng, options)


def _title(rng: np.random.Generator, vocabulary: Vocabulary) -> str:
    return some_words(1, 4)(rng, vocabulary).title()


def _amount(rng: np.random.Generator, vocabulary: Vocabulary) -> str:
    whole = str(rng.integers(1, 2000))
    return whole if rng.random() < 0.6 else f"{whole}.{int(rng.integers(10, 100))}"


def _email(rng: np.random.Generator, vocabulary: Vocabulary) -> str:
    name, host = (vocabulary.pick(rng, vocabulary.lower) for _ in range(2))
    return f"{name}@{host}.{vocabulary.pick(rng, ('com', 'org', 'net'))}"


def _code(rng: np.random.Generator, vocabulary: Vocabulary) -> str:
    signs = "".join(rng.choice(list(SIGNS[:-1]), int(rng.integers(3, 8))))
    return vocabulary.digits(rng, int(rng.integers(3, 8))) if rng.random() < 0.5 else signs


def _file(rng: np.random.Generator, vocabulary: Vocabulary) -> str:
    kind = vocabulary.pick(rng, ("pdf", "txt", "csv", "png", "md", "mp3"))
    return f"{vocabulary.pick(rng, vocabulary.lower)}.{kind}"


def _flag(*names: str, true: tuple[str, ...], false: tuple[str, ...]) -> Slot:
    explained = ("", "Whether it is so", "Whether this is wanted")
    value = one_of(("true", "false"))
    return Slot(
        names=names, explained=explained, value=value, said=true, denied=false, kind="boolean"
    )


SLOTS = {
    "city": Slot(
        names=("city", "location", "place", "town"),
        explained=("", "Name of the city", "The city", "Where"),
        value=_city,
        said=("in {v}", "in {v}", "near {v}", "at {v}"),
        way="in",
    ),
    "origin": Slot(
        names=("origin", "from_city", "departure_city", "start", "from_location"),
        explained=("", "City to start from", "Where it begins"),
        value=_city,
        said=("from {v}", "leaving from {v}", "starting from {v}"),
        way="from",
    ),
    "destination": Slot(
        names=("destination", "to_city", "arrival_city", "to_location"),
        explained=("", "City to go to", "Where to"),
        value=_city,
        said=("to {v}", "going to {v}", "to {v}"),
        way="to",
    ),
    "time": Slot(
        names=("time", "start_time", "at_time", "hour", "alarm_time"),
        explained=("", "Time of day", "When it is to be", "The time, as said"),
        value=_time,
        said=("at {v}", "at {v}", "for {v}", "by {v}"),
        way="at",
    ),
    "date": Slot(
        names=("date", "day", "on_date", "visit_date"),
        explained=("", "The day", "Date, as said", "On which day"),
        value=_date,
        said=("on {v}", "for {v}", "{v}"),
        way="on",
    ),
    "person": Slot(
        names=("person", "recipient", "contact", "name", "contact_name", "to"),
        explained=("", "Name of the person", "Who gets it", "Whom"),
        value=_names,
        said=("to {v}", "for {v}", "to my friend {v}"),
        way="to",
    ),
    "with": Slot(
        names=("attendee", "guest", "participant", "who", "with_person"),
        explained=("", "Who takes part", "Name of the other person"),
        value=_names,
        said=("with {v}", "together with {v}"),
        way="with",
    ),
    "message": Slot(
        names=("message", "text", "body", "note", "content"),
        explained=("", "What is to be said", "The text"),
        value=some_words(2, 7),
        said=('saying "{v}"', "saying {v}", "that says {v}", 'with the text "{v}"', ": {v}"),
        last=True,
    ),
    "title": Slot(
        names=("title", "name", "song", "label", "subject"),
        explained=("", "The title", "What it is called"),
        value=_title,
        said=("called {v}", 'called "{v}"', "named {v}", 'titled "{v}"'),
        way="called",
    ),
    "topic": Slot(
        names=("topic", "query", "keyword", "search_term", "subject"),
        explained=("", "What it is about", "Words to search for"),
        value=some_words(1, 4),
        said=("about {v}", "on {v}", "about {v}", "concerning {v}"),
        way="about",
    ),
    "minutes": Slot(
        names=("minutes", "duration_minutes", "length_minutes", "duration"),
        explained=("", "How long, in minutes", "Minutes"),
        value=number(1, 120),
        said=("for {v} minutes", "of {v} minutes", "lasting {v} minutes"),
        kind="integer",
        way="minutes",
    ),
    "hours": Slot(
        names=("hours", "duration_hours"),
        explained=("", "How many hours"),
        value=number(1, 24),
        said=("for {v} hours", "of {v} hours"),
        kind="integer",
        way="hours",
    ),
    "seconds": Slot(
        names=("seconds", "timeout_seconds", "delay"),
        explained=("", "In seconds"),
        value=number(5, 600),
        said=("for {v} seconds", "after {v} seconds"),
        kind="integer",
        way="seconds",
    ),
    "count": Slot(
        names=("count", "quantity", "copies", "number_of_items", "limit"),
        explained=("", "How many", "Number of pieces"),
        value=number(2, 60),
        said=("{v} of them", "{v} times", "{v} pieces", "at most {v}"),
        kind="integer",
        way="count",
    ),
    "people": Slot(
        names=("party_size", "guests", "number_of_people", "passengers", "seats"),
        explained=("", "For how many people", "Number of persons"),
        value=number(1, 15),
        said=("for {v} people", "for {v} persons", "for {v} of us"),
        kind="integer",
        way="people",
    ),
    "amount": Slot(
        names=("amount", "price", "sum", "max_price", "budget", "value"),
        explained=("", "How much money", "Amount of money"),
        value=_amount,
        said=("{v} dollars", "${v}", "for {v} dollars", "of {v} euros", "worth {v} dollars"),
        kind="number",
        way="dollars",
    ),
    "level": Slot(
        names=("level", "volume", "brightness", "percent"),
        explained=("", "From 0 to 100", "In percent"),
        value=number(0, 101),
        said=("to {v} percent", "to {v}%", "at {v} percent", "to {v}"),
        kind="integer",
        way="to",
    ),
    "degrees": Slot(
        names=("temperature", "degrees", "target_temperature"),
        explained=("", "In degrees", "How warm it is to be"),
        value=number(10, 35),
        said=("to {v} degrees", "at {v} degrees", "of {v} degrees"),
        kind="integer",
        way="degrees",
    ),
    "colour": Slot(
        names=("color", "colour"),
        explained=("", "The colour", "Which colour"),
        value=one_of(COLOURS),
        said=("in {v}", "{v}", "coloured {v}"),
        values=COLOURS,
        way="in",
    ),
    "room": Slot(
        names=("room", "zone", "area"),
        explained=("", "Which room", "The room of the house"),
        value=one_of(ROOMS),
        said=("in the {v}", "of the {v}", "for the {v}"),
        values=ROOMS,
        way="in",
    ),
    "device": Slot(
        names=("device", "playback_device", "player"),
        explained=("", "On which device", "The device to use"),
        value=one_of(DEVICES),
        said=("on the {v}", "on my {v}", "using the {v}"),
        values=DEVICES,
        way="on",
    ),
    "language": Slot(
        names=("language", "target_language", "to_language"),
        explained=("", "Into which language", "The language"),
        value=one_of(LANGUAGES),
        said=("into {v}", "in {v}", "to {v}"),
        way="to",
    ),
    "email": Slot(
        names=("email", "address", "email_address"),
        explained=("", "Address of the mail"),
        value=_email,
        said=("to {v}", "at {v}"),
        way="to",
    ),
    "id": Slot(
        names=("id", "order_id", "ticket_number", "tracking_code", "reference"),
        explained=("", "The number it has", "Its code"),
        value=_code,
        said=("number {v}", "with id {v}", "{v}", "with the code {v}"),
        way="number",
    ),
    "file": Slot(
        names=("file", "filename", "path", "document"),
        explained=("", "Name of the file"),
        value=_file,
        said=("the file {v}", "{v}", "from {v}"),
        way="file",
    ),
    "size": Slot(
        names=("size",),
        explained=("", "How big"),
        value=one_of(("small", "medium", "large")),
        said=("in size {v}", "{v} size", "a {v} one"),
        values=("small", "medium", "large"),
        way="size",
    ),
    "unit": Slot(
        names=("unit", "units", "scale"),
        explained=("", "Unit of the answer"),
        value=one_of(("celsius", "fahrenheit", "kelvin")),
        said=("in {v}", "using {v}"),
        values=("celsius", "fahrenheit", "kelvin"),
        way="in",
    ),
    "priority": Slot(
        names=("priority", "importance"),
        explained=("", "How important it is"),
        value=one_of(("low", "medium", "high")),
        said=("with {v} priority", "at {v} priority", "of {v} importance"),
        values=("low", "medium", "high"),
        way="priority",
    ),
    "cuisine": Slot(
        names=("cuisine", "food", "kind_of_food"),
        explained=("", "Kind of food"),
        value=one_of(CUISINES),
        said=("serving {v} food", "with {v} food", "for {v} food"),
        way="food",
    ),
    "genre": Slot(
        names=("genre", "style", "category"),
        explained=("", "The genre", "What kind"),
        value=one_of(GENRES),
        said=("that is {v}", "some {v}", "of the kind {v}"),
        way="genre",
    ),
    "currency": Slot(
        names=("currency", "to_currency", "target_currency"),
        explained=("", "Into which currency"),
        value=one_of(CURRENCIES),
        said=("into {v}", "to {v}", "in {v}"),
        way="to",
    ),
    "urgent": _flag(
        "urgent",
        "is_urgent",
        true=("and it is urgent", "urgently"),
        false=("but it is not urgent",),
    ),
    "weekly": _flag(
        "repeat", "weekly", "recurring", true=("every week", "repeating"), false=("only once",)
    ),
    "private": _flag(
        "private", "hidden", true=("privately", "and keep it {n}"), false=("not {n}", "publicly")
    ),
}
