# SPDX-License-Identifier: Apache-2.0
"""Everyday tools and how people ask for them; verbs and nouns to make more of."""

from dataclasses import dataclass

VERBS = (
    "open close start stop paint polish book cancel order find move send check count clean print "
    "rent buy sell repair lock unlock rename delete create update list show hide record archive "
    "compress measure rate review reserve schedule publish share copy feed water park charge "
    "assign approve reject sort filter export import scan sign wash pack deliver return call"
).split()
NOUNS = (
    "door window car bicycle table chair lamp invoice parcel letter report garden dog cat horse "
    "boat ticket room account order printer server playlist picture recipe task project meeting "
    "contract shipment battery engine sensor camera house key folder form survey course lesson"
).split()


@dataclass(frozen=True, kw_only=True)
class Errand:
    """A tool of everyday life; the first name decides whether training may have it."""

    names: tuple[str, ...]
    descriptions: tuple[str, ...]
    asked: tuple[str, ...]
    slots: tuple[str, ...] = ()


def errand(names: str, descriptions: str, asked: str, slots: str = "") -> Errand:
    """Of lists with a bar between."""
    return Errand(
        names=tuple(names.split()),
        descriptions=tuple(descriptions.split(" | ")),
        asked=tuple(asked.split(" | ")),
        slots=tuple(slots.split()),
    )


ERRANDS = (
    errand(
        "set_alarm add_alarm create_alarm",
        "Set an alarm. | Wakes the user at a time of day.",
        "set an alarm | wake me up | add an alarm",
        "time date",
    ),
    errand(
        "start_timer set_timer countdown",
        "Start a timer. | Counts down and rings.",
        "set a timer | start a timer | start a countdown",
        "minutes title",
    ),
    errand(
        "get_weather weather_forecast current_weather",
        "Get the weather of a place. | Weather forecast for a city.",
        "tell me the weather | get the forecast | check the weather",
        "city date unit",
    ),
    errand(
        "send_email write_email email_person",
        "Send an email. | Writes a mail and sends it.",
        "send an email | write a mail | email",
        "email message urgent",
    ),
    errand(
        "send_message text_contact send_sms",
        "Send a text message to a contact. | Sends a message.",
        "send a message | text | write a message",
        "person message",
    ),
    errand(
        "play_song play_music play_track",
        "Play music. | Plays a song on a device.",
        "play a song | play the song | put on a track",
        "title device",
    ),
    errand(
        "play_genre play_radio",
        "Play music of a genre.",
        "play some music | put on music | play music",
        "genre device",
    ),
    errand(
        "set_volume change_volume adjust_volume",
        "Change the volume of a device. | Sets how loud it is.",
        "set the volume | turn the volume | change the volume",
        "level device",
    ),
    errand(
        "set_temperature set_thermostat heat_room",
        "Set the thermostat. | Sets how warm a room is.",
        "set the temperature | set the thermostat | set the heating",
        "degrees room",
    ),
    errand(
        "set_lights turn_on_lights light_room",
        "Turn the lights on. | Sets the light of a room.",
        "turn on the lights | make the light | set the lights",
        "room colour",
    ),
    errand(
        "translate_text translate",
        "Translate a text. | Says a text in another language.",
        "translate | translate the text | have this translated",
        "language message",
    ),
    errand(
        "convert_currency exchange_money",
        "Convert money from one currency into another.",
        "convert | exchange | change",
        "amount currency",
    ),
    errand(
        "book_flight search_flights find_flight",
        "Find flights between two cities. | Search for a flight.",
        "book a flight | find me a flight | search for flights",
        "origin destination date",
    ),
    errand(
        "book_train find_train buy_train_ticket",
        "Find a train between two cities. | Tickets for trains.",
        "book a train | find a train | get a train ticket",
        "origin destination time",
    ),
    errand(
        "find_restaurant search_restaurants",
        "Find a restaurant. | Search places to eat.",
        "find a restaurant | look for a place to eat | find somewhere to eat",
        "city cuisine",
    ),
    errand(
        "reserve_table book_table",
        "Reserve a table at a restaurant.",
        "reserve a table | book a table | get a table",
        "people time date",
    ),
    errand(
        "book_hotel reserve_room find_hotel",
        "Book a hotel room. | Find a hotel in a city.",
        "book a hotel | find a hotel | reserve a hotel room",
        "city date people",
    ),
    errand(
        "call_taxi order_ride get_ride",
        "Order a taxi. | Call a cab to a destination.",
        "call a taxi | get me a cab | order a ride",
        "destination people",
    ),
    errand(
        "add_event create_event schedule_meeting",
        "Add an event to the calendar. | Schedules a meeting.",
        "schedule a meeting | add an event | put a meeting into my calendar",
        "title with date time",
    ),
    errand(
        "create_reminder remind_me set_reminder",
        "Remind the user of something. | Creates a reminder.",
        "set a reminder | create a reminder | add a reminder",
        "time message",
    ),
    errand(
        "add_to_list add_item shopping_list",
        "Add an item to the shopping list.",
        "add something to my shopping list | put on the shopping list | add to the list",
        "title count",
    ),
    errand(
        "transfer_money send_money pay_person",
        "Transfer money to somebody. | Sends money to a person.",
        "transfer money | send money | pay",
        "amount person",
    ),
    errand(
        "track_order order_status get_order",
        "Track an order. | Where a parcel is.",
        "track my order | where is the parcel | check the order",
        "id",
    ),
    errand(
        "search_web web_search look_up",
        "Search the web. | Finds pages on the internet.",
        "search the web | look up on the internet | find pages",
        "topic count",
    ),
    errand(
        "get_news read_news headlines",
        "Get the news. | Headlines about a topic.",
        "get the news | read me the headlines | show the news",
        "topic date",
    ),
    errand(
        "take_note create_note save_note",
        "Save a note. | Writes something down.",
        "take a note | make a note | write a note",
        "title message",
    ),
    errand(
        "open_file show_document",
        "Open a file. | Shows a document.",
        "open | show me | open the document",
        "file",
    ),
    errand(
        "print_file print_document",
        "Print a file.",
        "print | print out | make prints of",
        "file count colour",
    ),
    errand(
        "find_movie search_movies movie_search",
        "Find a movie. | Movies of a genre.",
        "find a movie | look for a film | find me something to watch",
        "genre date",
    ),
    errand(
        "call_contact make_call phone_person",
        "Call somebody on the phone.",
        "make a phone call | place a call | phone",
        "person",
    ),
    errand(
        "get_directions find_route navigate",
        "Directions from one place to another.",
        "show me the way | get directions | find the route",
        "origin destination",
    ),
    errand(
        "order_pizza order_food",
        "Order a pizza.",
        "order a pizza | get me a pizza",
        "size title count",
    ),
    errand(
        "create_ticket report_issue open_ticket",
        "Open a ticket for a problem.",
        "open a ticket | report a problem | file an issue",
        "title priority",
    ),
    errand(
        "rent_car reserve_car hire_car",
        "Rent a car.",
        "rent a car | hire a car | get a rental car",
        "city date hours",
    ),
    errand(
        "buy_tickets get_tickets",
        "Buy tickets for an event. | Tickets for concerts and games.",
        "buy tickets | get tickets | book tickets",
        "title people city",
    ),
    errand(
        "lock_door lock_house",
        "Lock the doors of the house.",
        "lock the door | lock the house | lock up",
        "room",
    ),
    errand(
        "get_time current_time local_time",
        "The time of day in a city.",
        "tell me the time | check the local time",
        "city",
    ),
    errand(
        "delete_file remove_file",
        "Delete a file. | Removes a document.",
        "delete | remove | erase",
        "file private",
    ),
    errand(
        "cancel_order stop_order",
        "Cancel an order.",
        "cancel my order | cancel the order | stop the order",
        "id urgent",
    ),
    errand(
        "pause_music stop_music",
        "Pause the music. | Stops what is playing.",
        "pause the music | stop the music | stop playing",
        "device",
    ),
)
