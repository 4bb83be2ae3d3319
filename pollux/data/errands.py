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

SAME = {  # other words for a verb
    verb: tuple(others.split(" | "))
    for verb, others in (
        ("open", "open up"),
        ("close", "shut"),
        ("start", "begin | launch | turn on"),
        ("stop", "end | halt | turn off"),
        ("book", "reserve"),
        ("cancel", "call off"),
        ("order", "get me | buy"),
        ("find", "look for | search for | look up"),
        ("move", "shift"),
        ("send", "mail"),
        ("check", "look at | inspect | have a look at"),
        ("clean", "tidy up"),
        ("print", "print out | make a print of"),
        ("rent", "hire"),
        ("buy", "purchase | get me"),
        ("repair", "fix | mend"),
        ("lock", "lock up"),
        ("rename", "give a new name to"),
        ("delete", "remove | erase | get rid of | throw away"),
        ("create", "make | set up | add | write"),
        ("update", "change | refresh | edit"),
        ("list", "show me all of"),
        ("show", "display | let me see"),
        ("archive", "put away"),
        ("compress", "zip"),
        ("reserve", "book"),
        ("schedule", "plan | arrange"),
        ("publish", "post"),
        ("copy", "duplicate | make a copy of"),
        ("approve", "accept"),
        ("reject", "turn down | refuse"),
        ("import", "load"),
        ("export", "save"),
        ("wash", "clean"),
        ("deliver", "bring"),
        ("return", "give back"),
        ("call", "phone | ring"),
    )
}


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
    errand(
        "add_contact save_contact new_contact",
        "Add somebody to the address book. | Saves a contact.",
        "add a contact | save the contact | put somebody into my contacts",
        "person email",
    ),
    errand(
        "get_stock_price stock_quote",
        "The price of a share. | Quotes for stocks.",
        "get the share price | look up the stock | check what the share costs",
        "title currency",
    ),
    errand(
        "vacuum_room start_vacuum clean_floor",
        "Start the robot vacuum cleaner. | Cleans the floor of a room.",
        "vacuum | clean the floor | let the robot clean",
        "room time",
    ),
    errand(
        "send_invoice bill_customer",
        "Send an invoice to a customer. | Bills somebody.",
        "send an invoice | bill the customer | send a bill",
        "person amount",
    ),
    errand(
        "define_word dictionary lookup_word",
        "Look a word up in the dictionary. | What a word means.",
        "look up a word | give me the meaning | check the dictionary",
        "topic language",
    ),
    errand(
        "book_appointment make_appointment see_doctor",
        "Make an appointment with a doctor. | Books a visit.",
        "make an appointment | book a visit to the doctor | get me an appointment",
        "date time city",
    ),
    errand(
        "upload_file send_file share_document",
        "Upload a file. | Shares a document with somebody.",
        "upload | share the document | send the file",
        "file private",
    ),
    errand(
        "rename_file move_document",
        "Give a file another name.",
        "rename | give a new name to | call the file something else",
        "file title",
    ),
    errand(
        "water_plants irrigate_garden",
        "Water the plants. | Turns the sprinklers on.",
        "water the plants | turn on the sprinklers | irrigate the garden",
        "minutes time",
    ),
    errand(
        "find_recipe search_recipes",
        "Find a recipe. | How to cook a dish.",
        "find a recipe | look for a dish to cook | find something to cook",
        "cuisine minutes",
    ),
    errand(
        "roll_dice throw_dice",
        "Roll dice.",
        "roll the dice | throw some dice",
        "count",
    ),
    errand(
        "log_workout record_exercise",
        "Record a workout. | Keeps track of exercise.",
        "log a workout | record my training | note down my exercise",
        "title minutes",
    ),
    errand(
        "set_language change_language",
        "Change the language of the device.",
        "change the language | switch the language | set the language",
        "language device",
    ),
    errand(
        "subscribe_newsletter sign_up",
        "Subscribe to a newsletter. | Signs somebody up.",
        "subscribe | sign up for the newsletter | put me on the mailing list",
        "email topic",
    ),
    errand(
        "find_parking park_car",
        "Find a parking place. | Where to leave the car.",
        "find a parking place | look for parking | find somewhere to park",
        "city hours",
    ),
    errand(
        "take_photo take_picture",
        "Take a photo with the camera.",
        "take a photo | take a picture | shoot a picture",
        "device",
    ),
    errand(
        "split_bill share_costs",
        "Split a bill between several people.",
        "split the bill | share the costs | divide the bill",
        "amount people",
    ),
    errand(
        "mute_device silence_device",
        "Turn the sound of a device off.",
        "mute | silence | turn off the sound",
        "device minutes",
    ),
    errand(
        "leave_review rate_place",
        "Write a review of a place. | Rates a shop or a restaurant.",
        "leave a review | write a review | rate the place",
        "title message",
    ),
    errand(
        "request_loan apply_loan",
        "Apply for a loan. | Asks the bank for money.",
        "apply for a loan | ask for a loan | request a loan",
        "amount date",
    ),
)
