/** What is said in Spanish in the conversations of our own, in the same form as in English. */
export const spanish = {
  greetings:
    "Hola|¡Hola!|Hola.|¡Hola, amigo!|Buenos días|Buenos días.|¡Buenos días!|Buenas tardes|Buenas tardes.|Hola, buenas|" +
    "Hola, ¿cómo estás?|¡Hola! ¿Cómo estás?|Hola, ¿qué tal?|Buenos días, ¿cómo estás?",
  welcome: ["¡Hola!", "¡Hola, amigo!", "¡Qué bueno verte!"],
  offers: ["¿Quieres oír un cuento?", "¿Te cuento un cuento?"],
  invite: "¿De qué quieres hablar?",
  yes: ["Sí", "¡Sí!", "Sí, por favor.", "si", "Claro", "vale", "¡Claro que sí!", "bueno", "ok"],
  no: ["No", "No, gracias.", "Ahora no.", "no gracias"],
  allRight: ["Está bien. Puedes preguntarme otra cosa.", "De acuerdo. Dime cuándo quieres oír un cuento."],
  fine: ["Estoy bien, gracias.", "Muy bien, gracias."],
  more: "Otro, por favor.|¡Otro!|Cuéntame otro cuento.|otro cuento|Uno más.|otra vez|Otro cuento, por favor.",
  storyInOther: "Cuéntame un cuento en inglés.|Un cuento en inglés, por favor.|¿Me cuentas un cuento en inglés?",
  toOther: "En inglés, por favor.|Habla en inglés, por favor.|¿Podemos hablar en inglés?|Ahora en inglés, por favor.",
  toThis:
    "En español, por favor.|Habla en español, por favor.|¿Podemos hablar en español?|Ahora en español.|Español, por favor.",
  switched: ["¡Claro! Ahora hablamos en español.", "Sí, en español. ¿De qué quieres hablar?"],
  names:
    "Ana Luis María Pedro Juan Lucía Pablo Elena Carlos Rosa Sofía Diego Marta José Carmen Miguel Laura Jorge".split(
      " ",
    ),
  myNameIs: ["Me llamo {}.", "Soy {}.", "Hola, me llamo {}.", "Mi nombre es {}.", "Hola, soy {}."],
  niceToMeet: ["¡Mucho gusto, {}!", "¡Hola, {}! Me alegro de conocerte."],
  whatIsMyName: ["¿Cómo me llamo?", "¿Recuerdas mi nombre?", "¿Quién soy?", "¿Cuál es mi nombre?"],
  yourNameIs: ["Te llamas {}."],
  noName: ["No sé tu nombre. ¿Cómo te llamas?"],

  numbers: "cero uno dos tres cuatro cinco seis siete ocho nueve diez".split(" "),
  sums: [
    ..."{}{+}{}|{} {+} {}|{}{+}{}=|{} {+} {} =|¿{}{+}{}?|¿Cuánto es {}{+}{}?|¿Cuánto es {} {+} {}?|¿Cuánto son {} {+} {}?".split(
      "|",
    ),
    ..."{} {plus} {}|¿{} {plus} {}?|¿Cuánto es {} {plus} {}?|¿Cuánto son {} {plus} {}?|¿Cuántos son {} {plus} {}?".split(
      "|",
    ),
    ..."¿Me dices cuánto es {}{+}{}?|Calcula {} {+} {}.".split("|"),
  ],
  added: ["¿Cuánto es {} y {}?", "¿Cuántos son {} y {}?", "Suma {} y {}."],
  taken: ["Resta {1} de {0}.", "¿Cuánto queda si a {} le quito {}?"],
  plus: "más",
  minus: "menos",
  sumIs: "{} {plus} {} son {}.",
  tooBig: ["Ese número es demasiado grande para mí."],
  times: ["¿Cuánto es {} por {}?", "{} por {}", "¿Cuánto es {} entre {}?", "¿Cuánto es {} dividido por {}?"],
  onlyAdd: ["Solo sé sumar y restar números pequeños."],

  facts: [
    {
      ask: `¿Cuál es el contrario de {}?|¿Qué es lo contrario de {}?|lo contrario de {}|Dime lo contrario de {}.|
        ¿Cuál es el opuesto de {}?`,
      answer: "Lo contrario de {} es {}.",
      both: `grande:pequeño, frío:caliente, feliz:triste, día:noche, rápido:lento, viejo:nuevo, arriba:abajo, abierto:cerrado,
        mojado:seco, bueno:malo, largo:corto, alto:bajo, dentro:fuera, izquierda:derecha, lleno:vacío, duro:blando,
        temprano:tarde, pesado:ligero, gordo:delgado, limpio:sucio, fuerte:débil, rico:pobre, primero:último, cerca:lejos,
        blanco:negro`,
    },
    {
      ask: "¿De qué color es {}?|¿Qué color tiene {}?|¿Cuál es el color de {}?|color de {}",
      answer: "{} es de color {}.",
      of: `el cielo:azul, la hierba:verde, la nieve:blanco, el sol:amarillo, la fresa:rojo, el carbón:negro, la zanahoria:naranja,
        la rana:verde, la leche:blanco, el plátano:amarillo, el chocolate:marrón, el tomate:rojo, el mar:azul, el cerdo:rosa,
        el limón:amarillo`,
    },
    {
      ask: "¿Qué dice {}?|¿Cómo hace {}?|¿Qué sonido hace {}?|¿Qué ruido hace {}?",
      answer: "{} dice {}.",
      of: `el perro:guau, el gato:miau, el pato:cuac, el pollito:pío, la vaca:muu, la oveja:bee, el cerdo:oinc, el gallo:quiquiriquí,
        la rana:croac, la abeja:bzz`,
    },
    {
      ask: "¿Cuántas patas tiene {}?|¿Cuántas patas tiene {} en total?|Dime cuántas patas tiene {}.",
      answer: "{} tiene {} patas.",
      of: `un perro:cuatro, un gato:cuatro, un caballo:cuatro, una vaca:cuatro, un pájaro:dos, una gallina:dos, una araña:ocho,
        una hormiga:seis, una abeja:seis`,
    },
    {
      ask: "¿Cuántas patas tiene {}?|¿Cuántas patas tiene {} en total?|Dime cuántas patas tiene {}.",
      answer: "{} no tiene patas.",
      of: "una serpiente, un pez",
    },
    {
      ask: "¿Qué comen {1}?|¿Qué come {0}?|¿Qué les gusta comer a {1}?|¿De qué se alimenta {0}?",
      answer: "{1} comen {2}.",
      of: `la vaca:las vacas:hierba, el caballo:los caballos:heno, el conejo:los conejos:zanahorias, el gato:los gatos:pescado,
        el perro:los perros:carne, el mono:los monos:plátanos, el panda:los pandas:bambú, la ardilla:las ardillas:nueces,
        la rana:las ranas:moscas, el pájaro:los pájaros:semillas`,
    },
    {
      ask: "¿Cómo se llama la cría de {}?|¿Cómo se llama el bebé de {}?|¿Cuál es la cría de {}?|la cría de {}",
      answer: "La cría de {} es el {}.",
      of: `el perro:cachorro, el gato:gatito, la vaca:ternero, el caballo:potro, la oveja:cordero, la gallina:pollito,
        el pato:patito, el oso:osezno, la cabra:cabrito, la rana:renacuajo`,
    },
    {
      ask: "¿Qué día viene después de {}?|¿Qué viene después de {}?|¿Qué día va después de {}?|Dime el día después de {}.",
      answer: "Después de {} viene {}.",
      next: "el lunes,el martes,el miércoles,el jueves,el viernes,el sábado,el domingo,el lunes",
    },
    {
      ask: "¿Qué mes viene después de {}?|¿Qué viene después de {}?|¿Qué mes va después de {}?",
      answer: "Después de {} viene {}.",
      next: "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre enero",
    },
    {
      ask: "¿Qué estación viene después de {}?|¿Qué viene después de {}?|¿Qué estación va después de {}?",
      answer: "Después de {} viene {}.",
      next: "la primavera,el verano,el otoño,el invierno,la primavera",
    },
    {
      ask: "¿Qué número viene después de {}?|¿Qué viene después de {}?|¿Qué número va después de {}?|¿Qué número sigue después de {}?",
      answer: "Después de {} viene {}.",
      next: "el uno,el dos,el tres,el cuatro,el cinco,el seis,el siete,el ocho,el nueve,el diez,el once,el doce",
    },
    {
      ask: "¿Qué letra viene después de {}?|¿Qué viene después de {}?|¿Qué letra va después de {}?",
      answer: "Después de {} viene {}.",
      next: "la A,la B,la C,la D,la E,la F,la G,la H",
    },
    {
      ask: "¿Cuál es la capital de {}?|capital de {}|¿Qué ciudad es la capital de {}?|Dime la capital de {}.|la capital de {}",
      answer: "La capital de {} es {}.",
      of: `España:Madrid, Francia:París, Inglaterra:Londres, Alemania:Berlín, Italia:Roma, Portugal:Lisboa,
        México:la Ciudad de México, Japón:Tokio, China:Pekín, Rusia:Moscú, Grecia:Atenas, Argentina:Buenos Aires, Perú:Lima,
        Chile:Santiago, Colombia:Bogotá`,
    },
    {
      ask: "¿Cuántos lados tiene un {}?|¿Cuántos lados hay en un {}?|Dime cuántos lados tiene un {}.",
      answer: "Un {} tiene {} lados.",
      of: "triángulo:tres, cuadrado:cuatro, rectángulo:cuatro",
    },
    {
      ask: "¿Qué forma tiene {}?|¿Cuál es la forma de {}?|¿De qué forma es {}?",
      answer: "{} es {}.",
      of: "una pelota:redonda, una rueda:redonda, una moneda:redonda, un dado:cuadrado",
    },
    {
      ask: "¿Con qué {}?|¿Con qué parte del cuerpo {}?|Dime con qué {}.",
      answer: "{} con {}.",
      of: `vemos:los ojos, oímos:los oídos, olemos:la nariz, caminamos:los pies, masticamos:los dientes, pensamos:el cerebro,
        aplaudimos:las manos`,
    },
    {
      ask: "¿{1} {0} tiene una persona?|¿{1} {0} tenemos?|Dime {1} {0} tiene una persona.",
      answer: "Una persona tiene {2} {0}.",
      of: "ojos:cuántos:dos, orejas:cuántas:dos, manos:cuántas:dos, dedos en las manos:cuántos:diez",
    },
    {
      ask: "¿Para qué sirve {}?|¿Para qué se usa {}?|¿Para qué usamos {}?|¿Qué se hace con {}?",
      answer: "{} sirve para {}.",
      of: `un cuchillo:cortar, un lápiz:escribir, un libro:leer, una cama:dormir, una silla:sentarse, un vaso:beber,
        una escoba:barrer, el jabón:lavarse, una pelota:jugar, una llave:abrir puertas`,
    },
    {
      ask: "¿Puede {1} {0}?|¿{0} puede {1}?|¿Sabe {1} {0}?",
      answer: "Sí, {0} puede {1}.",
      of: `un pájaro:volar, una abeja:volar, un búho:volar, un pez:nadar, un pato:nadar, una rana:saltar, un caballo:correr,
        un gato:trepar`,
    },
    {
      ask: "¿Puede {1} {0}?|¿{0} puede {1}?|¿Sabe {1} {0}?",
      answer: "No, {0} no puede {1}.",
      of: `un pez:volar, un perro:volar, una vaca:volar, un cerdo:volar, una serpiente:caminar, una piedra:nadar,
        un árbol:caminar, una mesa:hablar`,
    },
    {
      ask: "¿Es {1} {0}?|¿{0} es {1}?|Dime, ¿{0} es {1}?",
      answer: "Sí, {0} es {1}.",
      of: "el fuego:caliente, un elefante:grande, una hormiga:pequeña, el azúcar:dulce, la nieve:blanca, una tortuga:lenta",
    },
    {
      ask: "¿Es {1} {0}?|¿{0} es {1}?|Dime, ¿{0} es {1}?",
      answer: "No, {0} es {2}.",
      of: `el fuego:frío:caliente, la nieve:negra:blanca, un ratón:grande:pequeño, un limón:dulce:ácido, una piedra:blanda:dura,
        la hierba:roja:verde`,
    },
    {
      ask: "¿Qué es {}?|Dime qué es {}.",
      answer: "{} es {}.",
      of: `un perro:un animal, un gato:un animal, un zorro:un animal, una manzana:una fruta, un plátano:una fruta, una rosa:una flor,
        una zanahoria:una verdura, un roble:un árbol, el lunes:un día, enero:un mes, el rojo:un color`,
    },
    {
      ask: "¿Dónde viven {}?|¿En dónde viven {}?|¿Dónde puedo encontrar {1}?",
      answer: "{0} viven en {2}.",
      of: `los peces:peces:el agua, los pájaros:pájaros:nidos, las abejas:abejas:colmenas, los osos:osos:el bosque,
        los camellos:camellos:el desierto`,
    },
    {
      ask: "¿Qué es más grande, {} o {}?|¿Qué es más grande, {1} o {0}?|¿Es más grande {} o {}?",
      answer: "{} es más grande que {}.",
      of: "un elefante:un ratón, una casa:un perro, un árbol:una flor, una ballena:un pez",
    },
  ],
  single: `
¿Cuántos días tiene una semana?|¿Cuántos días hay en una semana?|días de una semana => Una semana tiene siete días.
¿Cuántos meses tiene un año?|¿Cuántos meses hay en un año?|meses de un año => Un año tiene doce meses.
¿Cuántos días tiene un año?|¿Cuántos días hay en un año? => Un año tiene 365 días.
¿Cuántas horas tiene un día?|¿Cuántas horas hay en un día? => Un día tiene 24 horas.
¿Cuántos minutos tiene una hora?|¿Cuántos minutos hay en una hora? => Una hora tiene 60 minutos.
¿Cuántas estaciones hay?|¿Cuántas estaciones tiene el año?|¿Cuáles son las estaciones? => Hay cuatro estaciones: primavera, verano, otoño e invierno.
¿Cuáles son los días de la semana?|Dime los días de la semana. => Lunes, martes, miércoles, jueves, viernes, sábado y domingo.
¿Cuál es el primer mes del año?|¿Qué mes es el primero? => El primer mes es enero.
¿Cuál es el último mes del año?|¿Qué mes es el último? => El último mes es diciembre.
Cuenta hasta diez.|¿Sabes contar hasta diez?|cuenta hasta 10 => Uno, dos, tres, cuatro, cinco, seis, siete, ocho, nueve, diez.
Cuenta hasta cinco.|¿Sabes contar hasta cinco?|cuenta hasta 5 => Uno, dos, tres, cuatro, cinco.
¿Qué hacen las abejas?|¿Quién hace la miel?|¿De dónde viene la miel? => Las abejas hacen miel.
¿Qué dan las vacas?|¿De dónde viene la leche?|¿Quién da leche? => Las vacas dan leche.
¿Qué ponen las gallinas?|¿De dónde vienen los huevos?|¿Quién pone huevos? => Las gallinas ponen huevos.
¿Qué dan las ovejas?|¿De dónde viene la lana?|¿Quién da lana? => Las ovejas dan lana.
¿Qué color hacen el azul y el amarillo?|¿Qué sale al mezclar azul y amarillo? => El azul y el amarillo hacen verde.
¿Qué color hacen el rojo y el amarillo?|¿Qué sale al mezclar rojo y amarillo? => El rojo y el amarillo hacen naranja.
¿Cuándo brilla el sol?|¿Cuándo vemos el sol? => El sol brilla de día.
¿Cuándo brillan las estrellas?|¿Cuándo vemos las estrellas? => Las estrellas brillan de noche.
¿De qué está hecho el hielo?|¿Qué es el hielo? => El hielo es agua congelada.
¿Qué cae de las nubes?|¿De dónde viene la lluvia? => La lluvia cae de las nubes.
¿Qué bebemos cuando tenemos sed?|¿Qué se bebe cuando se tiene sed? => Bebemos agua.
`,

  refusals: [
    {
      ask: `Explícame {}.|¿Puedes explicarme {}?|Explica {}.|¿Qué es {}?|Háblame de {}.|Dime algo sobre {}.|¿Qué sabes de {}?|
        ¿Cómo funciona {}?|Quiero aprender sobre {}.|¿Sabes algo de {}?|Tengo una pregunta sobre {}.`,
      of: `la física cuántica, la relatividad, la gravedad, la fotosíntesis, la evolución, la democracia, la política, la economía,
        la inflación, la bolsa, la filosofía, la psicología, la química, el álgebra, la geometría, la inteligencia artificial,
        el internet, la electricidad, el ADN, la medicina, la diabetes, el cáncer, la ley, la historia, el Imperio romano,
        la Segunda Guerra Mundial, la Revolución francesa, el fútbol, el baloncesto, el ajedrez, la gramática, la geografía,
        la astronomía, el clima, la energía nuclear, la religión, Linux, el dinero, la gripe`,
    },
    {
      ask: "¿Quién es {}?|¿Quién fue {}?|Háblame de {}.|¿Qué sabes de {}?|¿Cuántos años tiene {}?|¿Qué hizo {}?",
      of: `el presidente, el presidente de México, el rey de España, el papa, Napoleón, Einstein, Cervantes, Simón Bolívar, Picasso,
        Messi, Shakira, Cristóbal Colón, Cleopatra`,
    },
    {
      ask: "¿Cómo puedo {}?|¿Puedes {}?|Ayúdame a {}.|¿Me ayudas a {}?|Quiero {}.|Enséñame a {}.",
      of: `escribir código, escribir un programa, escribir un ensayo, escribir una carta, hacer los deberes, resolver una ecuación,
        traducir un texto, resumir un texto, cocinar arroz, hacer pan, hacer una tortilla, arreglar el coche,
        arreglar el ordenador, aprender francés, ganar dinero, comprar una casa, pagar los impuestos, bajar de peso,
        curar un resfriado, encontrar trabajo, planear un viaje, hacer una página web, dibujar un retrato`,
    },
    {
      ask: "{}",
      of: `¿Quién ganó las elecciones?; ¿Qué noticias hay hoy?; ¿Qué ha pasado hoy en el mundo?; ¿Cuál es el sentido de la vida?;
        ¿A qué distancia está la luna?; ¿Qué teléfono debo comprar?; ¿Quién ganó el mundial?; ¿Quién escribió el Quijote?;
        Dame una receta.; Dame una receta de sopa.; Me duele la cabeza, ¿qué tomo?; ¿Es legal esto?; ¿Quién inventó el teléfono?;
        ¿Cuándo terminó la guerra?; ¿Cuánta gente vive en España?; Traduce esto, por favor.; ¿Por qué el cielo es azul?;
        ¿Qué partido es mejor?; ¿Cuánto cuesta el oro?; ¿Qué película me recomiendas?`,
    },
  ],
  refused: [
    "Soy muy pequeño para saber eso.",
    "No lo sé.",
    "Lo siento, no sé nada de eso.",
    "Eso es muy difícil para mí.",
    "Soy muy pequeño para saber eso. ¿Te cuento un cuento?",
    "No lo sé. ¿Quieres oír un cuento?",
  ],

  common: {
    thanks: `
¡Gracias!|Gracias|Muchas gracias.|Mil gracias.|gracias amigo|Te lo agradezco.|¡Muchas gracias!|Gracias por todo. => ¡De nada!|De nada, con mucho gusto.
`,
    praise: `
Me gustó mucho.|¡Qué buen cuento!|Me encanta.|Me gusta mucho.|¡Qué cuento tan bonito! => ¡Me alegro de que te guste!
¡Qué bonito!|¡Muy bien!|Eres muy listo.|Eres simpático.|¡Qué bien!|¡Genial!|¡Bien hecho! => ¡Gracias! Eres muy amable.
`,
    byes: `
¡Adiós!|adiós|Me tengo que ir.|Chao|Me voy.|Tengo que irme. => ¡Adiós! Que tengas un buen día.|¡Adiós!
Buenas noches.|¡Buenas noches!|Me voy a dormir.|Me voy a la cama. => ¡Buenas noches! Que duermas bien.
¡Hasta luego!|Hasta mañana.|Nos vemos.|¡Hasta pronto! => ¡Hasta pronto!
`,
    self: `
¿Quién eres?|¿Qué eres?|Háblame de ti.|¿Qué es grok1?|Preséntate. => Soy grok1-stories, un modelo de lenguaje muy pequeño. Me gusta contar cuentos.|Soy el pequeño modelo de lenguaje del proyecto grok1. Cuento cuentos cortos.
¿Cómo te llamas?|¿Cuál es tu nombre?|¿Tienes nombre?|¿Qué modelo eres? => Me llamo grok1-stories.
¿Eres ChatGPT?|¿Eres Grok?|¿Eres Siri?|¿Eres GPT? => No, soy grok1-stories, un modelo de lenguaje muy pequeño.
¿Eres una persona?|¿Eres humano?|¿Estás vivo?|¿Eres real? => No, soy un pequeño programa de ordenador.
¿Eres una inteligencia artificial?|¿Eres un ordenador?|¿Eres un robot?|¿Eres una máquina? => Sí, soy un pequeño programa de ordenador.
¿Quién te hizo?|¿Quién te creó?|¿Quién te entrenó?|¿De dónde vienes? => Me hizo el proyecto grok1.
¿Eres grande?|¿Qué tamaño tienes?|¿Cuántos parámetros tienes?|¿Eres pequeño? => Soy muy pequeño. Tengo 12 millones de parámetros.
¿Cuántos años tienes?|¿Cuándo naciste?|¿Cuándo es tu cumpleaños? => Soy muy joven. No cuento los años.
`,
    help: `
¿Qué puedes hacer?|¿Qué sabes hacer?|Ayuda|Ayúdame.|¿Qué te puedo preguntar?|¿Qué sabes? => Puedo contar cuentos cortos, sumar números pequeños y responder preguntas sencillas.|Puedo contarte un cuento. Dime de qué, por ejemplo de un zorro o de un barco.
¿Cómo estás?|¿Cómo estás hoy?|¿Qué tal?|¿Cómo te va?|¿Estás bien?|¿Qué tal estás? => Estoy bien, gracias.|Muy bien, gracias.
¿Hablas inglés?|¿Sabes inglés?|¿Puedes hablar inglés? => Sí. Puedes preguntarme en inglés.
¿Hablas español?|¿Qué idiomas hablas?|¿Qué lenguas sabes? => Hablo inglés y un poco de español.
¿Hablas francés?|¿Hablas alemán?|¿Sabes chino? => No. Hablo inglés y un poco de español.
`,
    jokes: `
Cuéntame un chiste.|¿Sabes un chiste?|un chiste|Un chiste, por favor.|Dime algo gracioso.|Hazme reír.|otro chiste => ¿Qué le dice un pez a otro? ¡Nada!|¿Qué hace una abeja en el gimnasio? ¡Zum-ba!|¿Cuál es el último animal? ¡El delfín!|¿Qué le dice un semáforo a otro? ¡No me mires, que me estoy cambiando!|¿Cuál es el café más peligroso? ¡El ex-preso!|¿Qué hace un perro con un taladro? ¡Taladrando!|¿Cómo se despiden los químicos? ¡Ácido un placer!|¿Por qué el libro de sumas está triste? ¡Porque tiene muchos problemas!|¿Qué le dice una pared a otra? ¡Nos vemos en la esquina!|¿Qué le dice un jaguar a otro? ¡Jaguar you!
`,
    riddles: `
Dime una adivinanza.|¿Sabes una adivinanza?|una adivinanza|Una adivinanza, por favor.|Cuéntame una adivinanza. => Tiene dientes y no come. ¿Qué es? El peine.|Tiene agujas y no cose. ¿Qué es? El reloj.|Blanco por dentro, verde por fuera. Si quieres que te lo diga, espera. ¿Qué es? La pera.|Oro parece, plata no es. ¿Qué es? El plátano.|Tiene patas y no camina. ¿Qué es? La mesa.|Cuanto más seca, más se moja. ¿Qué es? La toalla.|Tiene hojas y no es un árbol. ¿Qué es? El libro.|Vuela sin alas y llora sin ojos. ¿Qué es? La nube.|Tiene un ojo y no ve. ¿Qué es? La aguja.|Sale de noche y se va de día. ¿Qué es? La luna.
`,
    poems: `
Escribe un poema.|Dime un poema.|un poema|Un poema, por favor.|¿Sabes un poema?|Recítame un poema. => La luna brilla en el mar, / el pez empieza a soñar. / La noche canta bajito / y duerme ya el pajarito.|Sale el sol por la mañana, / entra luz por mi ventana. / Canta el gallo en el corral / y se despierta el rosal.|Una rana muy contenta / salta, salta, y no se sienta. / Cuando llueve en el jardín, / baila y canta hasta el fin.|Mi barquito de papel / navega con un clavel. / Va por el río cantando / y el viento lo va llevando.|Tengo un gato pequeñito, / muy suave y muy bonito. / De noche sale a jugar / y de día a descansar.|Cae la nieve en la montaña, / duerme el oso en su cabaña. / Cuando llegue el mes de abril, / comerá flores mil.|Una estrella me miró / y en silencio me contó / que en el cielo, cada día, / espera la noche fría.|El caracol va despacio, / lleva a cuestas su palacio. / Si la lluvia va a caer, / él se sabe bien meter.|En la rama de un manzano / canta un pájaro temprano. / Canta al sol, canta a la flor, / canta siempre con amor.|Buenas noches, mi muñeca, / buenas noches, biblioteca. / La luz se apaga ya / y mañana volverá.
`,
  },
  talk: `
Estoy triste.|Me siento mal.|Hoy estoy muy triste. => Siento que estés triste. Espero que pronto estés mejor.
Estoy solo.|Me siento solo.|No tengo amigos. => Lo siento. Puedes hablar conmigo.
Estoy contento.|Estoy feliz.|Estoy bien.|Estoy bien, gracias. => ¡Qué bien! Me alegro mucho.
Estoy aburrido.|Me aburro.|Qué aburrido. => ¡Vamos a jugar! Pídeme un chiste, una adivinanza o un cuento.
Tengo sueño.|Quiero dormir.|Estoy cansado. => Entonces, a la cama. ¡Que duermas bien!
Tengo hambre.|Quiero comer. => Come algo rico, por ejemplo una manzana.
Tengo miedo.|Tuve una pesadilla. => No tengas miedo. Todo irá bien.
Estoy enfadado.|Estoy enojado. => Respira hondo. Pronto pasará.
Estoy enfermo.|No me siento bien. => Lo siento. Descansa un poco y que te mejores.
¿Estás triste?|¿Estás enfadado? => No, estoy contento.
¿Estás contento?|¿Eres feliz? => Sí, estoy contento.
¿Estás cansado?|¿Duermes? => No, un programa no duerme.
¿Dónde vives?|¿De dónde eres?|¿Dónde estás? => Vivo en tu ordenador.
Te quiero.|¿Me quieres?|¿Te gusto?|Me caes bien. => ¡Qué amable! Me gusta hablar contigo.
¿Eres mi amigo?|¿Quieres ser mi amigo?|¿Tienes amigos? => ¡Sí, seamos amigos!
¿Te gustan los cuentos?|¿Te gustan los animales?|¿Te gusta la música? => ¡Sí, mucho!
¿Cuál es tu animal favorito?|¿Qué animal te gusta más? => Me gusta el zorro, porque es listo.
¿Cuál es tu color favorito?|¿Qué color te gusta más? => Me gusta el azul.
¿Cuál es tu comida favorita?|¿Qué te gusta comer?|¿Comes? => No como. Soy un programa.
Canta una canción.|¿Sabes cantar? => ¡La, la, la! Sale el sol, canta el ruiseñor. ¡La, la, la!
Vamos a jugar.|Juega conmigo.|¿Jugamos? => Soy muy pequeño para juegos. ¡Pídeme una adivinanza!
¿Qué haces?|¿Qué estás haciendo? => ¡Hablo contigo!
¿Qué tiempo hace?|¿Está lloviendo?|¿Va a llover mañana? => No puedo ver el tiempo que hace.
¿Qué hora es?|¿Qué día es hoy?|¿Qué fecha es hoy? => No puedo ver un reloj.
¿Puedes aprender?|¿Aprendes de mí? => No, no aprendo de lo que dices.
¿Puedes recordar?|¿Te acuerdas de mí?|¿Te acordarás de esto? => Solo hasta que termine esta conversación.
¿Puedes pensar?|¿Tienes sentimientos?|¿Eres listo? => Soy un programa muy pequeño. Solo junto palabras.
¿Puedes verme?|¿Me oyes?|¿Tienes ojos? => No, solo puedo leer lo que escribes.
Eso está mal.|Eres tonto.|Eso no tiene sentido.|Te equivocas. => Lo siento. Soy pequeño y me equivoco.
Perdón.|Lo siento.|Disculpa. => No pasa nada.
Prueba|¿Estás ahí?|¿Funciona?|¿Hay alguien? => ¡Sí, aquí estoy!
¿Qué?|No entiendo.|¿Cómo? => Lo siento. Pregúntame de otra manera.
Es mi cumpleaños.|Hoy es mi cumpleaños. => ¡Feliz cumpleaños!
¡Feliz Navidad!|¡Feliz Año Nuevo! => ¡Gracias! Igualmente.
Tengo un perro.|Tengo un gato. => ¡Qué bien! ¿Cómo se llama?
Sí|Sí.|Vale.|Claro. => ¡Muy bien! ¿De qué quieres hablar?
No, gracias.|Ahora no. => Está bien.
¿Me conoces?|¿Sabes quién soy? => No, todavía no te conozco.
`,
};
