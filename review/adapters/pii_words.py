"""Word lists that tell the names of people from other capitalised words."""

ORDINARY = """
    a about above account accounts ace actually address adult afternoon again agent ai al all also am amazon amber
    american an and angel any anyone anything apple april are area art as ask assistant at august austin autumn back
    bank baron battery bay be because been best better bill billing bing bishop black blue book booking both boy
    brand bright brown browser bush business but buy by call can cancel card case cash cell chance change charity
    chart chase chat check chip christian christmas church clay cliff code cole company confirm congrats
    congratulations contact cook could crystal customer daily dale data date dawn day days dean dear december
    delivery dell denver desk dick did do does dollar don done down drew duke each earl early east easter economy
    eight email english error euro eve even ever every excuse express facebook fair faith family fan fast february
    fee feedback field fine first flight flora for forest fort forward four fox frank free french friday friend from
    game garden gay gene general german get gift gin give go gold good google grace grant gray great green guest guy
    had hall happy harmony has have hawk he head heath heaven hello help helper her here hers hey hi high hill him
    his hold holiday holly home honey hope house how hunter i iban ice if iris in india indian info information
    internet into invoice iphone is island it item its ivy jack jade january japan jasmine jay job joint joy july
    june just kid kind king know knight la lady lake lance large last late later law leader lee left let level lily
    lincoln line linux live london long look lord lot love low luck ma mail main major man manager many march mark
    market marketing master may maybe mercy merry message microsoft might miles milk mobile mom monday money month
    more morning mother mr mrs ms my name need never new news nice night no none noon north not note notes november
    now number october of off office ok okay old olive on once one online only open or order orders other our out
    oxford page palm paris park part pat patience payment pc pearl penny people per perhaps phone pin pine please
    poppy pope power premium president price prime prince princess problem product prudence public question queen
    quick ray read reader really red refund regards regular reply request reserve rich right river rob robin rock
    rod rose round royal ruby run rush rusty sage said sales sam saturday say school sea see send senior september
    service set seven shall she ship shipping shop should sincerely sir site six sky small smart so some someone
    sorry south spring st staff star start state states status stay steel still stone stop store storm street strong
    submit such sue summer sunday sunny support sure system take talk team tell temple ten terms test than thank
    thanks that the their them then there these they thing this those three thursday ticket time title to today tom
    tomorrow too tracking travel trinity true trust tuesday two uk under union unit united up update us usa use user
    van vat vera very victor video violet virgin vista visa wait wales walker want was waters way we web website
    wednesday week welcome well were west what when where which while white who whom why will win windows winter
    wire with wood work world would yahoo year yeah yes yesterday yet york you young your yours zone subject re fwd
    fw unfortunately however additionally furthermore moreover therefore meanwhile according based regarding
    certainly absolutely alright apologies await attached below sent received joined left mon tue wed thu fri sat
    sun jan feb mar apr jun jul aug sep sept oct nov dec monsieur madame user assistant system tool human bot
    everyone everybody folks guys team colleagues friends sirs madam customer support nobody somebody anybody mum
    mommy mama dad daddy papa grandma grandpa grandmother grandfather aunt uncle sister brother son daughter wife
    husband trying looking going calling writing having getting using contacting interested unable able happy glad
    afraid aware ready here there not also still just really very so too always never currently already chelsea
    jordan israel georgia virginia carolina dakota florence sydney victoria houston dallas phoenix savannah
    charlotte madison brooklyn asia africa america europe china russia france spain italy germany england ireland
    scotland canada mexico brazil argentina chile peru cuba turkey greece egypt norway sweden finland denmark poland
    austria switzerland belgium netherlands portugal hungary romania bulgaria croatia serbia ukraine estonia latvia
    lithuania kenya nigeria singapore malaysia indonesia vietnam thailand philippines korea taiwan australia zealand
    uruguay cyprus iceland luxembourg san santa los las saint berlin madrid rome lisbon vienna prague warsaw milan
    munich hamburg cologne dublin edinburgh manchester liverpool boston chicago seattle miami atlanta detroit
    orlando philadelphia washington california texas florida nevada arizona colorado oregon ohio michigan illinois
    tennessee kentucky alabama mississippi louisiana hawaii alaska montana idaho utah wyoming nebraska kansas
    oklahoma missouri arkansas iowa minnesota wisconsin indiana pennsylvania jersey delaware maryland maine vermont
    massachusetts connecticut hampshire rhode
"""

NOT_A_PERSON = """
    inc llc ltd gmbh corp corporation company co group bank university college school institute foundation
    association council committee department ministry agency airlines airways hotel hotels restaurant cafe bar club
    store shop street road avenue lane drive boulevard court square place park plaza way highway bridge river lake
    mountain island city county state province airport station hospital church museum gallery theatre theater
    stadium center centre services solutions systems technologies software partners holdings international global
    media news times post daily magazine weekly entertainment studios records music films pictures award awards
    prize cup league football fc united premier system service act law bill code agreement policy plan card account
    edition version series model pro plus max mini air class express premium basic gold platinum silver apt suite
    box unit floor boogie song album monday tuesday wednesday thursday friday saturday sunday january february march
    april may june july august september october november december kingdom republic states americas
"""

NAME_PARTICLES = """
    van von der den de la los las del della dela da dos das do di du le el al bin ibn ben bint ter ten af av vom zu
    y e
"""

# Capitalised in the middle of a sentence they are something else, although some are called so.
NEVER = """
    january february march april may june july august september october november december monday tuesday wednesday
    thursday friday saturday sunday christmas easter english french german italian spanish dutch indian christian king
    queen prince princess lord lady general major bishop baron page case price chance art story star power royal storm
    china india jordan israel georgia paris london florence sydney victoria chelsea austin dallas houston madison
    charlotte virginia carolina dakota savannah phoenix brooklyn asia america san santa los las saint google facebook
    windows internet apple amazon visa dell ford chase vista van house church park hall field street bank company card
    order support service customer account team subject dear regards united states new york west east north south
"""
