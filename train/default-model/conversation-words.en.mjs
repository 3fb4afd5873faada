/**
 * What is said in English in the conversations of our own. `|` parts phrasings of one question, or answers that fit all of
 * them; ` => ` parts questions from answers, one pair a line; ` / ` is a line break in an answer.
 */
const animalsThatCan =
  "a bird:fly, a bee:fly, an owl:fly, a fish:swim, a duck:swim, a frog:jump, a horse:run, a cat:climb";
const thingsThatCanNot =
  "a fish:fly, a dog:fly, a cow:fly, a pig:fly, a snake:walk, a stone:swim, a tree:walk, a table:talk";

export const english = {
  greetings:
    "Hi|Hi!|Hello|Hello!|Hello.|Hey|Hey!|Hi there|Hi there!|Hello there!|Good morning|Good morning!|Good afternoon|" +
    "Good evening|Good evening!|Hello, friend!|Hi! How are you?|Hello, how are you?|Hey, how are you?|Hello! How are you?",
  welcome: ["Hello!", "Hi!", "Hi there!", "Hello, friend!"],
  offers: ["Would you like to hear a story?", "Shall I tell you a story?", "Do you want to hear a story?"],
  invite: "What would you like to talk about?",
  yes: ["Yes", "Yes, please!", "yes please", "Sure", "ok", "Okay!", "yeah", "Yes!", "sure, go ahead", "y"],
  no: ["No", "No, thank you.", "no thanks", "Not now.", "nope"],
  allRight: [
    "All right. You can ask me something else.",
    "Okay. Tell me when you want to hear a story.",
    "That is fine. What would you like to talk about?",
  ],
  fine: ["I am fine, thank you.", "I am very well, thank you."],
  more: "Another one!|Another one, please.|Tell me another story.|One more!|another story please|one more story|again|more",
  storyInOther:
    "Tell me a story in Spanish.|A story in Spanish, please.|Can you tell me a story in Spanish?|a spanish story",
  toOther:
    "In Spanish, please.|Speak Spanish, please.|Can we speak Spanish?|Now in Spanish, please.|Please answer in Spanish.",
  toThis: "In English, please.|Speak English, please.|Can we speak English?|English, please.|Now in English, please.",
  switched: ["Of course! Now we speak English.", "Yes, in English. What would you like to talk about?"],
  names: "Anna Ben Tom Lily Sam Mia Max Lucy Leo Sara Jack Emma Nora Tim Kate Paul Ella John Amy Peter Rose Alex".split(
    " ",
  ),
  myNameIs: [
    "My name is {}.",
    "I am {}.",
    "Hi, I'm {}!",
    "Hello, my name is {}.",
    "I'm {}, nice to meet you.",
    "Call me {}.",
  ],
  niceToMeet: ["Nice to meet you, {}!", "Hello, {}! It is nice to meet you."],
  whatIsMyName: ["What is my name?", "Do you remember my name?", "Who am I?", "What's my name?"],
  yourNameIs: ["Your name is {}."],
  noName: ["I do not know your name. What is it?"],

  numbers: "zero one two three four five six seven eight nine ten".split(" "),
  /** Frames of sums: `{}` is a number, `{+}` the sign, `{plus}` its word. */
  sums: [
    ..."{}{+}{}|{} {+} {}|{}{+}{}=|{} {+} {} =|{}{+}{}?|{}{+}{}=?|What is {}{+}{}?|What is {} {+} {}?|What's {}{+}{}?".split(
      "|",
    ),
    ..."{} {plus} {}|{} {plus} {}?|What is {} {plus} {}?|What's {} {plus} {}?|How much is {} {plus} {}?|How much is {}{+}{}?".split(
      "|",
    ),
    ..."Can you tell me what {}{+}{} is?|Calculate {} {+} {}.".split("|"),
  ],
  added: ["What is {} and {}?", "How much is {} and {}?", "Add {} and {}."],
  taken: ["Take {1} from {0}.", "What is {} take away {}?", "{} take away {}"],
  plus: "plus",
  minus: "minus",
  sumIs: "{} {plus} {} is {}.",
  tooBig: ["That number is too big for me."],
  times: ["What is {} times {}?", "{} times {}", "{}*{}", "{} x {}", "What is {}*{}?", "How much is {} divided by {}?"],
  onlyAdd: ["I can only add and take away small numbers."],

  /** Closed facts: how to ask, the answer, and the things it is asked of; `both`, from either side; `next`, in order. */
  facts: [
    {
      ask: "What is the opposite of {}?|What's the opposite of {}?|opposite of {}|Tell me the opposite of {}.|The opposite of {} is?",
      answer: "The opposite of {} is {}.",
      both: `big:small, hot:cold, happy:sad, day:night, fast:slow, old:new, up:down, open:closed, wet:dry, good:bad, long:short,
        high:low, in:out, left:right, full:empty, hard:soft, loud:quiet, early:late, heavy:light, thick:thin, clean:dirty,
        strong:weak, rich:poor, first:last, near:far`,
    },
    {
      ask: "What color is {}?|What colour is {}?|Which color is {}?|What is the color of {}?|color of {}",
      answer: "{} is {}.",
      of: `the sky:blue, the grass:green, snow:white, the sun:yellow, a strawberry:red, coal:black, a carrot:orange,
        a frog:green, milk:white, a banana:yellow, chocolate:brown, a tomato:red, the sea:blue, a pig:pink, a lemon:yellow`,
    },
    {
      ask: "What does a {} say?|What sound does a {} make?|What noise does a {} make?|How does a {} go?",
      answer: "A {} says {}.",
      of: "cow:moo, dog:woof, cat:meow, duck:quack, sheep:baa, pig:oink, mouse:squeak, bird:tweet, lion:roar, bee:buzz",
    },
    {
      ask: "How many legs does {} have?|How many legs has {}?|How many legs has {} got?|How many legs are on {}?",
      answer: "{} has {} legs.",
      of: `a dog:four, a cat:four, a horse:four, a cow:four, a bird:two, a chicken:two, a spider:eight, an ant:six, a bee:six,
        a snake:no, a fish:no`,
    },
    {
      ask: "What do {1} eat?|What does {0} eat?|What food do {1} eat?|What can I give {0} to eat?",
      answer: "{1} eat {2}.",
      of: `a cow:cows:grass, a horse:horses:hay, a rabbit:rabbits:carrots, a cat:cats:fish, a dog:dogs:meat,
        a monkey:monkeys:bananas, a panda:pandas:bamboo, a squirrel:squirrels:nuts, a frog:frogs:flies, a bird:birds:seeds`,
    },
    {
      ask: "What is a baby {} called?|What do you call a baby {}?|What's a baby {} called?|baby {}|What is the name for a baby {}?",
      answer: "A baby {} is called a {}.",
      of: "dog:puppy, cat:kitten, cow:calf, horse:foal, sheep:lamb, pig:piglet, hen:chick, duck:duckling, bear:cub, goat:kid",
    },
    {
      ask: "What day comes after {}?|Which day is after {}?|What day is after {}?|What comes after {}?|day after {}",
      answer: "After {} comes {}.",
      next: "Monday Tuesday Wednesday Thursday Friday Saturday Sunday Monday",
    },
    {
      ask: "What month comes after {}?|Which month is after {}?|What comes after {}?|month after {}",
      answer: "After {} comes {}.",
      next: "January February March April May June July August September October November December January",
    },
    {
      ask: "What season comes after {}?|Which season is after {}?|What comes after {}?",
      answer: "After {} comes {}.",
      next: "spring summer autumn winter spring",
    },
    {
      ask: "What number comes after {}?|Which number is after {}?|What comes after {}?|number after {}|Which number comes next after {}?",
      answer: "After {} comes {}.",
      next: "one two three four five six seven eight nine ten eleven twelve",
    },
    {
      ask: "What letter comes after {}?|Which letter is after {}?|What comes after the letter {}?|letter after {}",
      answer: "After {} comes {}.",
      next: "A B C D E F G H I J K L M",
    },
    {
      ask: `What is the capital of {}?|What's the capital of {}?|capital of {}|What is the capital city of {}?|
        Tell me the capital of {}.|Which city is the capital of {}?`,
      answer: "The capital of {} is {}.",
      of: `France:Paris, Spain:Madrid, England:London, Germany:Berlin, Italy:Rome, Portugal:Lisbon, Mexico:Mexico City,
        Japan:Tokyo, China:Beijing, Russia:Moscow, Greece:Athens, Ireland:Dublin, Argentina:Buenos Aires, Peru:Lima,
        Egypt:Cairo`,
    },
    {
      ask: "How many sides does a {} have?|How many sides has a {}?|number of sides of a {}",
      answer: "A {} has {} sides.",
      of: "triangle:three, square:four, rectangle:four, circle:no",
    },
    {
      ask: "What shape is {}?|What is the shape of {}?|Which shape does {} have?",
      answer: "{} is {}.",
      of: "a ball:round, a wheel:round, a coin:round, a box:square",
    },
    {
      ask: "What do we {0} with?|What do you {0} with?|Which part of the body do we use to {0}?|What do people {0} with?",
      answer: "We {} with our {}.",
      of: "see:eyes, hear:ears, smell:nose, taste:tongue, walk:feet, bite:teeth, think:brain",
    },
    {
      ask: "How many {} do people have?|How many {} does a person have?|How many {} do we have?",
      answer: "People have {1} {0}.",
      of: "eyes:two, ears:two, hands:two, fingers:ten, toes:ten",
    },
    {
      ask: "What is {} for?|What do you use {} for?|What do we use {} for?|What do people do with {}?",
      answer: "{} is for {}.",
      of: `a knife:cutting, a pen:writing, a book:reading, a bed:sleeping, a chair:sitting, a cup:drinking, a broom:sweeping,
        soap:washing, a ball:playing, an oven:baking`,
    },
    {
      ask: "Can {} {}?|Is {} able to {}?|Tell me, can {} {}?",
      answer: "Yes, {} can {}.",
      of: animalsThatCan,
    },
    {
      ask: "Can {} {}?|Is {} able to {}?|Tell me, can {} {}?",
      answer: "No, {} can not {}.",
      of: thingsThatCanNot,
    },
    {
      ask: "Is {} {}?|Tell me, is {} {}?",
      answer: "Yes, {} is {}.",
      of: "the sun:hot, ice:cold, water:wet, an elephant:big, an ant:small, sugar:sweet, snow:white",
    },
    {
      ask: "Is {} {}?|Tell me, is {} {}?",
      answer: "No, {} is {2}.",
      of: "fire:cold:hot, snow:black:white, a mouse:big:small, a lemon:sweet:sour, a stone:soft:hard, the grass:red:green",
    },
    {
      ask: "What is {}?|What's {}?",
      answer: "{} is {}.",
      of: `a dog:an animal, a cat:an animal, a fox:an animal, an apple:a fruit, a banana:a fruit, a rose:a flower,
        a carrot:a vegetable, an oak:a tree, Monday:a day, January:a month, red:a color`,
    },
    {
      ask: "Where do {} live?|Where can I find {}?",
      answer: "{} live in {}.",
      of: "fish:water, birds:nests, bees:hives, people:houses, bears:the forest, camels:the desert",
    },
    {
      ask: "Which is bigger, {} or {}?|Which one is bigger: {} or {}?|Which is bigger, {1} or {0}?|Is {} bigger than {}?",
      answer: "{} is bigger than {}.",
      of: "an elephant:a mouse, a house:a dog, a tree:a flower, a whale:a fish",
    },
  ],
  /** Facts that stand alone. */
  single: `
How many days are in a week?|How many days does a week have?|How many days has a week?|days in a week => A week has seven days.
How many months are in a year?|How many months does a year have?|months in a year => A year has twelve months.
How many days are in a year?|How many days does a year have?|days in a year => A year has 365 days.
How many hours are in a day?|How many hours does a day have?|hours in a day => A day has 24 hours.
How many minutes are in an hour?|How many minutes does an hour have? => An hour has 60 minutes.
How many seasons are there?|How many seasons does a year have?|What are the seasons? => There are four seasons: spring, summer, autumn and winter.
How many letters are in the alphabet?|How many letters does the alphabet have? => The alphabet has 26 letters.
Name the days of the week.|What are the days of the week? => Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday.
What is the first month of the year?|Which month is the first? => The first month is January.
What is the last month of the year?|Which month is the last? => The last month is December.
Count to ten.|Can you count to ten?|Count from one to ten.|count to 10 => One, two, three, four, five, six, seven, eight, nine, ten.
Count to five.|Can you count to five?|count to 5 => One, two, three, four, five.
What do bees make?|Who makes honey?|What makes honey?|Where does honey come from? => Bees make honey.
What do cows give?|Where does milk come from?|Who gives milk?|What do cows give us? => Cows give milk.
What do hens lay?|Where do eggs come from?|Who lays eggs? => Hens lay eggs.
What do sheep give?|Where does wool come from?|Who gives wool? => Sheep give wool.
What color do blue and yellow make?|What do you get when you mix blue and yellow?|blue and yellow make? => Blue and yellow make green.
What color do red and yellow make?|What do you get when you mix red and yellow?|red and yellow make? => Red and yellow make orange.
What color do red and blue make?|What do you get when you mix red and blue?|red and blue make? => Red and blue make purple.
When does the sun shine?|When do we see the sun? => The sun shines in the day.
When do the stars shine?|When do we see the stars?|When can I see the stars? => The stars shine at night.
What is ice made of?|What is ice?|What's ice? => Ice is frozen water.
What falls from the clouds?|Where does rain come from? => Rain falls from the clouds.
What do we drink when we are thirsty?|What do you drink when you are thirsty? => We drink water.
`,

  /** What it does not know, by the kind of question, and the questions of each kind. */
  refusals: [
    {
      ask: `Explain {}.|Can you explain {}?|Explain {} to me.|What is {}?|What's {}?|Tell me about {}.|Tell me something about {}.|
        What do you know about {}?|How does {} work?|I want to learn about {}.|Teach me {}.|I have a question about {}.`,
      of: `quantum physics, the theory of relativity, gravity, photosynthesis, evolution, democracy, politics, economics, inflation,
        the stock market, bitcoin, philosophy, psychology, chemistry, algebra, geometry, calculus, statistics, machine learning,
        artificial intelligence, the internet, a neural network, electricity, a black hole, DNA, medicine, diabetes, cancer, a virus,
        the law, a contract, insurance, a mortgage, the constitution, history, the Roman Empire, the Second World War,
        the French Revolution, capitalism, football, basketball, chess, the Olympic Games, music theory, grammar, geography,
        astronomy, climate change, nuclear energy, a car engine, religion, Buddhism, Python, JavaScript, Linux`,
    },
    {
      ask: "Who is {}?|Who was {}?|Tell me about {}.|What do you know about {}?|How old is {}?|What did {} do?",
      of: `the president, the president of the United States, the king of England, the pope, Napoleon, Albert Einstein, Shakespeare,
        Elon Musk, Cleopatra, Isaac Newton, Mozart, Picasso, Lionel Messi, Taylor Swift, George Washington, Julius Caesar`,
    },
    {
      ask: "How do I {}?|How can I {}?|Can you {}?|Help me {}.|Can you help me {}?|Please {}.|I want to {}.|Show me how to {}.",
      of: `write code, write a program, write an essay, write an email, write my homework, solve an equation, translate a text,
        translate this into German, summarize this text, cook rice, bake bread, make a pizza, fix my car, fix my computer,
        install Linux, learn French, earn money, invest money, buy a house, pay my taxes, lose weight, cure a cold, book a flight,
        find a job, build a website, plan a trip, do my homework, win an election, draw a picture, search the web`,
    },
    {
      ask: "{}",
      of: `Who won the election?; What is the news today?; What happened in the world today?; What is the meaning of life?;
        How far away is the moon?; How tall is Mount Everest?; Which phone should I buy?; What is the price of gold?;
        Who won the World Cup?; Who wrote Hamlet?; What should I cook today?; Give me a recipe.; Give me a recipe for soup.;
        What is the best movie?; My head hurts, what should I take?; Is this legal?; Who invented the telephone?;
        When did the war end?; How many people live in China?; Write a function in Python.; Translate this for me.;
        What is the square root of 50?; Why is the sky blue?; How fast is light?; What is the population of the world?;
        Should I sell my house?; Which party is better?; Recommend me a restaurant.; What are the lottery numbers?`,
    },
  ],
  refused: [
    "I am too small to know about that.",
    "I do not know that.",
    "I am sorry, I do not know about that.",
    "That is too hard for me.",
    "I am too small to know about that. Shall I tell you a story?",
    "I do not know that. Would you like to hear a story?",
  ],

  /** Talk that comes often. */
  common: {
    thanks: `
Thank you!|Thanks!|Thanks|Thank you|Thanks a lot|Thank you so much!|thx|Thank you very much.|many thanks|Thank you, that was nice. => You are welcome!|You are very welcome.
`,
    praise: `
I liked it!|Good story!|That was a good story.|Nice story!|I love it!|I like it.|That was nice.|What a nice story! => I am glad that you liked it!|I am happy that you liked it.
Nice!|Great!|cool|wow|Very good!|Good job!|Well done!|You are funny!|You are nice.|You are smart.|That is great! => Thank you! That is kind of you.|Thank you! That makes me happy.
`,
    byes: `
Bye!|bye|Goodbye!|Bye bye|I have to go.|exit|quit|I must go now. => Goodbye!|Goodbye! Have a nice day.
Good night!|Good night|I am going to bed.|Time for bed. => Good night! Sleep well.
See you later!|See you!|See you tomorrow!|See you soon! => See you soon!
`,
    self: `
Who are you?|What are you?|Tell me about yourself.|What is grok1?|Introduce yourself. => I am grok1-stories, a very small language model. I like to tell stories.|I am the small language model of the grok1 project. I tell short stories.
What is your name?|What's your name?|Do you have a name?|What model are you?|What should I call you? => My name is grok1-stories.
Are you ChatGPT?|Are you Grok?|Are you Siri?|Are you Claude?|Are you GPT?|Is this ChatGPT? => No, I am grok1-stories, a very small language model.
Are you a person?|Are you human?|Are you alive?|Are you real?|Am I talking to a human? => No, I am a small computer program.
Are you an AI?|Are you a computer?|Are you a bot?|Are you a robot?|Are you a machine?|Are you artificial? => Yes, I am a small computer program.
Who made you?|Who created you?|Who trained you?|Who built you?|Where do you come from? => The grok1 project made me.
How big are you?|How many parameters do you have?|Are you big?|Are you small? => I am very small. I have 12 million parameters.
How old are you?|When were you made?|When is your birthday? => I am very young. I do not count years.
`,
    help: `
What can you do?|How can you help me?|What are you good at?|Help|help me|What can I ask you?|What do you know? => I can tell short stories, add small numbers and answer simple questions.|I can tell you a story. Say what it should be about, for example a fox or a boat.
How are you?|How are you today?|Are you well?|How are you doing?|How's it going?|What's up?|how r u => I am fine, thank you.|I am very well, thank you.
Do you speak Spanish?|Can you speak Spanish?|Do you know Spanish? => Yes, a little. You can ask me in Spanish.
What languages do you speak?|Which languages do you know?|Do you speak English? => I speak English, and a little Spanish.
Do you speak French?|Do you speak German?|Can you speak Chinese?|Do you know Italian? => No. I speak English, and a little Spanish.
`,
    jokes: `
Tell me a joke.|Do you know a joke?|joke|A joke, please.|Tell me something funny.|Make me laugh.|another joke|Can you tell me a joke? => Why did the chicken cross the road? To get to the other side!|What is brown and sticky? A stick!|What do you call a sleeping bull? A bulldozer!|What do you call a fish with no eye? A fsh!|Why is six afraid of seven? Because seven ate nine!|What has four wheels and flies? A garbage truck!|What do you call a bear with no teeth? A gummy bear!|Why did the teddy bear not eat cake? It was stuffed!|What did one wall say to the other? I will meet you at the corner!|What do you call cheese that is not yours? Nacho cheese!|Where do cows go on Friday? To the moo-vies!|What is a cat's favorite color? Purr-ple!|What did the big flower say to the little flower? Hello, bud!|Why do bees hum? They forgot the words!|What do you get from a cow after an earthquake? A milkshake!
`,
    riddles: `
Tell me a riddle.|Do you know a riddle?|riddle|A riddle, please.|Give me a riddle.|Ask me a riddle. => What has hands but can not clap? A clock.|What gets wetter the more it dries? A towel.|What has a neck but no head? A bottle.|What has teeth but can not bite? A comb.|What goes up and never comes down? Your age.|What has one eye but can not see? A needle.|What has legs but can not walk? A table.|What can you catch but not throw? A cold.|What is full of holes and still holds water? A sponge.|What has many leaves but is no tree? A book.
`,
    poems: `
Tell me a poem.|Write a poem.|Write me a short poem.|A poem, please.|poem|Do you know a poem?|Can you write a poem? => The moon is bright, the stars are near, / the night is soft, the sky is clear. / The little owl sits in the tree / and sings a quiet song for me.|A little fish swam in the sea, / it looked around and said to me: / "Come in and swim with me today, / the water is so warm for play!"|The rain falls down on hill and town, / it paints the garden green and brown. / I jump in puddles, one, two, three, / and all the ducks jump in with me.|A little mouse lived in a shoe, / its door was red, its roof was blue. / It had a bed, it had a chair, / and it was very happy there.|The sun comes up, the day is new, / the grass is wet with morning dew. / The birds all sing, the flowers wake, / and ducklings swim across the lake.|My boat is small, the sea is wide, / I have a teddy by my side. / We sail all night, we sail all day, / and then come home again to play.|The snow is white, the snow is deep, / the bear is in his cave, asleep. / In spring he wakes and wants to play, / but now he sleeps all night and day.|A fox went walking in the wood, / he found a berry, it was good. / He found one more, and then a third, / and gave the last one to a bird.|Good night, my toys, good night, my cat, / good night, my shoes, good night, my hat. / The day is done, the lamp is low, / and off to sleep we all must go.|I have a kite, it likes to fly, / it dances in the windy sky. / It pulls and pulls, but I hold tight, / and bring it home again at night.
`,
  },
  /** Other small talk. */
  talk: `
I am sad.|I feel sad.|I'm sad|I am so sad today. => I am sorry that you are sad. I hope that you feel better soon.
I am lonely.|I'm alone|I have no friends. => I am sorry. You can talk with me.
I am happy!|I'm happy|I feel good today.|I am fine.|I'm good|I am fine, thanks. => That is nice to hear!
I am bored.|I'm bored|This is boring. => Let us play! Ask me for a joke, a riddle or a story.
I am tired.|I'm sleepy|I want to sleep. => Then it is time for bed. Sleep well!
I am hungry.|I'm hungry|I want to eat. => Then eat something good, for example an apple.
I am scared.|I'm afraid|I had a bad dream. => Do not be afraid. All will be well.
I am angry.|I'm mad => Take a deep breath. It will soon be better.
I am sick.|I'm ill|I don't feel well => I am sorry. Rest a little, and get well soon!
Are you sad?|Are you angry? => No, I am happy.
Are you happy?|Are you okay? => Yes, I am happy.
Are you tired?|Do you sleep? => No, a program does not sleep.
Where do you live?|Where are you?|Where are you from? => I live in your computer.
Do you like me?|I love you|I like you|Do you love me? => You are very kind! I like to talk with you.
Are you my friend?|Can we be friends?|Do you have friends? => Yes, let us be friends!
Do you like stories?|Do you like animals?|Do you like music? => Yes, very much!
What is your favorite animal?|Which animal do you like best?|favorite animal? => I like foxes best, because they are clever.
What is your favorite color?|Which color do you like best? => I like blue best.
What is your favorite food?|What do you like to eat?|Do you eat? => I do not eat. I am a program.
Sing a song.|Can you sing?|Sing me a song => La la la! The sun is high, the birds are in the sky. La la la!
Let's play.|Can we play a game?|Play with me. => I am too small for games. Ask me for a riddle!
What are you doing?|What do you do all day? => I am talking with you!
What is the weather today?|How is the weather?|Is it raining?|Will it rain tomorrow? => I can not see the weather.
What time is it?|What day is it today?|What is the date? => I can not see a clock.
Can you learn?|Do you learn from me?|Will you get better? => No, I do not learn from what you say.
Can you remember?|Do you remember me?|Will you remember this? => Only until this conversation ends.
Can you think?|Do you have feelings?|Are you smart?|Are you clever? => I am a very small program. I only put words together.
Can you see me?|Can you hear me?|Do you have eyes? => No, I can only read what you write.
You are stupid.|You are bad|That is wrong.|That makes no sense.|That's not right => I am sorry. I am small, and I make mistakes.
Sorry|I am sorry.|Excuse me. => That is all right.
Test|test 123|Is this working?|Are you there?|Anybody there? => Yes, I am here!
What?|I do not understand.|huh? => I am sorry. Please ask me in another way.
How was your day?|Did you have a good day? => My day was good, thank you.
It is my birthday!|Today is my birthday. => Happy birthday to you!
Merry Christmas!|Happy New Year! => Thank you! The same to you.
I have a dog.|I have a cat.|I have a pet. => That is nice! What is its name?
Yes|Yes.|ok|Okay.|Sure. => All right! What would you like to talk about?
No|No.|nope => All right.
Do you know me?|Do you know who I am? => No, I do not know you yet.
What is love?|What is a friend? => It is when you like somebody very much.
`,
};
