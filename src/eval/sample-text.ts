/** Plain English, of no book: for measures of a model that need some text, where nobody names one. */
export const sampleText = `Once there was a small town at the end of a long valley, and in the town lived a girl named Mira who mended clocks. Her grandfather had taught her. He
would open a clock on the kitchen table, lay out its wheels on a white cloth, and ask her what was wrong. She learned to listen first. A clock that
limps has a bent tooth, he said, and a clock that stops at night is cold. When he grew old his hands shook too much for the smallest screws, so she did the work and
he told her stories while she did it.

One morning in winter the big clock on the town hall stopped. It had never stopped before. The baker burned his bread because he did not hear it strike six, and the
children came to school an hour late and were very pleased. The mayor asked everybody who could climb a ladder to help. They oiled it, they pushed the hands, and one man
even kicked it, but the clock stood still at ten minutes past four.

Mira climbed the tower with a lamp and a small bag of tools. It was dark and the wind came in through the boards. She did not touch anything. She sat down on the floor
and listened, as she had been taught. After a while she heard a tiny sound, not a tick, but a scratch. Behind the largest wheel a mouse had built a nest out of straw and
bits of paper, and in the nest were five young mice, pink and blind. The straw had caught in the teeth.

She could have pulled it out at once. Instead she went down and told the mayor that the clock was not broken, and that it would go again in three weeks. He was angry at first.
What shall we do without the hours? he asked. We can ring the bell by hand, said Mira, and I will do it myself. So for three weeks she climbed the tower every hour of
the day and rang the bell, and each time she brought a little bread. The mice grew fur, opened their eyes, and at last ran off along the beams one after another.

Then she took out the straw, cleaned every tooth with a brush, and set the hands by her grandfather's watch. When she let the pendulum go, the whole town stood in the square
and held its breath. The clock struck twelve. The baker cheered, the children groaned, and the mayor shook her hand until it hurt.

How does such a clock know the time? It does not. A weight hangs on a rope and pulls a wheel around. If nothing held the wheel, it would spin and the weight would fall
to the ground in a minute. But a small anchor catches a tooth, lets it go, and catches the next one, and the pendulum decides when. A long pendulum swings slowly and a short one
quickly, whatever the size of the swing. That is all there is to it: something that pulls, something that holds, and something that counts. Everything else in the tower, the painted
numbers, the bells, the little man who comes out at noon and lifts his hat, is only there so that people will look up.

Her grandfather laughed when she told him about the mice. I once waited a whole spring for a swallow, he said. People thought that I was slow. He looked at the watch, which was right, and
put it back into her hand. Keep it, he said. You know when to wait, and that is the part of the work that nobody can teach.
`;
